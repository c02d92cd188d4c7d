-- Stems into the project: a folder of tracks, the original muted, one step to undo.

local plan = require("stembridge.plan")

local place = {}

local BUILD_MISSING_PEAKS = 40047 -- "Peaks: Build any missing peaks"
local EVERY_PART_OF_THE_PROJECT = -1 -- may have changed, says the undo step

local function add_track(reaper, index, facts)
  reaper.InsertTrackAtIndex(index, false)
  local track = reaper.GetTrack(0, index)
  reaper.GetSetMediaTrackInfo_String(track, "P_NAME", facts.name, true)
  reaper.SetMediaTrackInfo_Value(track, "I_FOLDERDEPTH", facts.depth)
  return track
end

local function add_item(reaper, track, stem)
  local source = reaper.PCM_Source_CreateFromFile(stem.path)
  if not source then error("REAPER cannot open " .. stem.path, 0) end
  local item = reaper.AddMediaItemToTrack(track)
  local take = reaper.AddTakeToMediaItem(item)
  reaper.SetMediaItemTake_Source(take, source)
  reaper.GetSetMediaItemTakeInfo_String(take, "P_NAME", stem.name, true)
  for _, value in ipairs({
    { "C_BEATATTACHMODE", 0 }, -- a place in time: a change of tempo must not move audio
    { "B_LOOPSRC", 0 },
    { "D_POSITION", stem.position_s },
    { "D_LENGTH", stem.length_s },
    { "D_FADEINLEN", 0 },
    { "D_FADEOUTLEN", 0 },
    { "D_FADEINLEN_AUTO", -1 }, -- none: the stems would not add up where they begin
    { "D_FADEOUTLEN_AUTO", -1 },
  }) do
    reaper.SetMediaItemInfo_Value(item, value[1], value[2])
  end
end

local function overlaps(reaper, track, start_s, end_s)
  for index = 0, reaper.CountTrackMediaItems(track) - 1 do
    local item = reaper.GetTrackMediaItem(track, index)
    local from_s = reaper.GetMediaItemInfo_Value(item, "D_POSITION")
    local to_s = from_s + reaper.GetMediaItemInfo_Value(item, "D_LENGTH")
    if from_s < end_s and to_s > start_s then return true end
  end
  return false
end

-- The item that was rendered; or, when it was the whole mix, every track with something in the
-- range. A track is muted as a whole, because items may reach beyond the range.
local function mute_original(reaper, job)
  if job.item then
    if reaper.ValidatePtr(job.item, "MediaItem*") then
      reaper.SetMediaItemInfo_Value(job.item, "B_MUTE", 1)
    end
    return
  end
  for index = 0, reaper.CountTracks(0) - 1 do
    local track = reaper.GetTrack(0, index)
    if overlaps(reaper, track, job.start_s, job.end_s) then
      reaper.SetMediaTrackInfo_Value(track, "B_MUTE", 1)
    end
  end
end

-- Right after the track of the item, else at the end. The depths of what is added come to 0, so
-- both are within the same folder as before.
local function first_index(reaper, job)
  if job.item and reaper.ValidatePtr(job.item, "MediaItem*") then
    local track = reaper.GetMediaItem_Track(job.item)
    -- It counts from 1: the number of a track is the index of the next one.
    return math.tointeger(reaper.GetMediaTrackInfo_Value(track, "IP_TRACKNUMBER"))
  end
  return reaper.CountTracks(0)
end

--- Places stems (see plan.stems) for a job, as one step to undo. Raises what went wrong, after
--- REAPER was put in order.
function place.stems(reaper, job, stems)
  reaper.Undo_BeginBlock()
  reaper.PreventUIRefresh(1)
  local done, reason = pcall(function()
    local index = first_index(reaper, job)
    mute_original(reaper, job) -- before the new tracks are there: they are not the original
    for offset, facts in ipairs(plan.tracks(stems, job.name)) do
      local track = add_track(reaper, index + offset - 1, facts)
      if facts.stem then add_item(reaper, track, facts.stem) end
    end
    reaper.Main_OnCommand(BUILD_MISSING_PEAKS, 0)
  end)
  reaper.PreventUIRefresh(-1)
  reaper.UpdateArrange()
  reaper.Undo_EndBlock("Stembridge: stems of " .. job.name, EVERY_PART_OF_THE_PROJECT)
  if not done then error(reason, 0) end
end

return place
