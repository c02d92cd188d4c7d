"""What each container holds beside its audio, read into one neutral form (`bridge.audio.metadata`).

One module for each family of containers; `bridge.audio.carry` chooses among them.
"""
