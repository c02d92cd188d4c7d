-- Opens a session in Ardour without its window, tells what is in it, and exports a range of it.
--
--   ardour7-lua open_session.lua SNAPSHOT_FOLDER SNAPSHOT RATE [OUT_FOLDER OUT_NAME FROM TO PRESET]
--
-- Every line that matters begins with "@" and has its fields between tabs.

local folder, name, rate = arg[1], arg[2], tonumber(arg[3])
AudioEngine:set_backend("None (Dummy)", "", "")
AudioEngine:set_device_name("Silence")
AudioEngine:set_sample_rate(rate)
AudioEngine:start(false)
local session = assert(load_session(folder, name), "Ardour does not open it")

local function tell(...)
  local fields = {}
  for _, value in ipairs({...}) do fields[#fields + 1] = tostring(value) end
  print("@" .. table.concat(fields, "\t"))
end

tell("session", session:nominal_sample_rate())
for route in session:get_tracks():iter() do
  local gain = route:gain_control():get_value()
  tell("track", route:name(), route:muted(), gain, route:n_outputs():n_audio())
  for region in route:to_track():playlist():region_list():iter() do
    local audio = region:to_audioregion()
    local faded = audio:fade_in_active() or audio:fade_out_active()
    tell("region", route:name(), region:name(), region:position():samples(),
      region:length():samples(), region:start():samples(), audio:n_channels(), faded,
      audio:scale_amplitude())
  end
end
for place in session:locations():list():iter() do
  tell("place", place:name(), place:start():samples(), place:_end():samples(), place:is_mark())
end

if arg[4] then
  local export = session:simple_export()
  assert(export:set_preset(arg[8]), "no such preset")
  export:set_folder(arg[4])
  export:set_name(arg[5])
  export:set_range(tonumber(arg[6]), tonumber(arg[7]))
  tell("export", export:run_export())
  export = nil
  collectgarbage()
end
session:save_state("saved by Ardour")
session = nil
collectgarbage()
close_session()
quit()
