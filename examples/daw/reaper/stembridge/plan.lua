-- Every decision, without REAPER: what is rendered, what it is called, where stems go.

local json = require("stembridge.json")

local plan = {}

local LONGEST_NAME_BYTES = 100 -- leaves room for " - accompaniment.wav" in 255
local TIME_MATCHES_FRAMES = 1.5 -- a time reference is rounded once, a position perhaps again

--- Seconds as a whole number of frames.
function plan.frames(seconds, rate_hz)
  return math.floor(seconds * rate_hz + 0.5)
end

--- A stretch of time on whole frames, so that nothing has to be rounded later; seconds.
--- Where the rate is not known (0), it stays as it is. Returns nil and a reason when it is empty.
function plan.range(start_s, end_s, rate_hz)
  if rate_hz > 0 then
    start_s = plan.frames(start_s, rate_hz) / rate_hz
    end_s = plan.frames(end_s, rate_hz) / rate_hz
  end
  if end_s <= start_s then return nil, "select one item, or a time range" end
  return { start_s = start_s, end_s = end_s }
end

-- What a name must not have: what some system forbids, REAPER's wildcards ($) and its mark between
-- files (;), and control characters and breaks of lines beyond ASCII (U+80 to 9F, U+2028, U+2029).
-- Accents that are characters of their own (U+300 to 36F) go, because the service composes names.
local UNFIT = {
  ['[%c<>:"/\\|%?%*%$;]'] = "_",
  ["\xC2[\x80-\x9F]"] = "_",
  ["\xE2\x80[\xA8\xA9]"] = "_",
  ["\xCC[\x80-\xBF]"] = "",
  ["\xCD[\x80-\xAF]"] = "",
}
-- Devices of Windows, with any ending.
local DEVICES = { "^CON$", "^PRN$", "^AUX$", "^NUL$", "^CONIN_$", "^CONOUT_$", "^COM%d$", "^LPT%d$" }

local function is_device(name)
  local first = name:match("^[^.]*"):gsub(" +$", ""):upper()
  for _, device in ipairs(DEVICES) do
    if first:match(device) then return true end
  end
  return false
end

--- A file name that every system takes as it is, and REAPER too.
function plan.safe_name(text)
  local name = text
  for unfit, instead in pairs(UNFIT) do name = name:gsub(unfit, instead) end
  name = name:gsub("^[ .]+", ""):gsub("[ .]+$", "")
  if #name > LONGEST_NAME_BYTES then
    local cut = LONGEST_NAME_BYTES
    -- Not within a character: those that follow the first byte of one are 80 to BF.
    while cut > 0 and name:byte(cut + 1) & 0xC0 == 0x80 do cut = cut - 1 end
    name = name:sub(1, cut):gsub("[ .]+$", "")
  end
  if name == "" then return "bounce" end
  return is_device(name) and "_" .. name or name
end

--- The first of "name", "name 2", "name 3" ... that is not taken.
function plan.free_name(name, taken)
  local found, number = name, 1
  while taken(found) do
    number = number + 1
    found = ("%s %d"):format(name, number)
  end
  return found
end

--- A folder and a name in it. Windows takes both strokes.
function plan.join(folder, name)
  return (folder:gsub("[/\\]+$", "")) .. "/" .. name
end

--- The last part of a path.
function plan.base_name(path)
  return path:match("[^/\\]*$")
end

--- The text of the file that names the preset of one bounce; nil for the service's own preset.
--- Returns nil and a reason for what cannot be a preset's name.
function plan.sidecar(preset)
  if preset == "" then return nil end
  if not preset:match("^[%w][%w _.-]*$") then
    return nil, ("'%s' is no name of a preset; see `stembridge presets list`"):format(preset)
  end
  return ('schema: 2\nextends: "%s"\n'):format(preset)
end

--- Where the bounce lies in the project, in seconds: at its time reference, which counts from the
--- project's start time, if that is where it was rendered; else where it was rendered.
function plan.position(source, start_s, offset_s)
  local reference = source.time_reference
  if type(reference) ~= "number" then return start_s end
  local rate_hz = source.rate_hz
  local told_s = (reference - plan.frames(offset_s, rate_hz)) / rate_hz
  if math.abs(told_s - start_s) <= TIME_MATCHES_FRAMES / rate_hz then return told_s end
  return start_s
end

local function stem(facts, folder, position_s)
  local name, file = facts.name, facts.path
  if type(name) ~= "string" or type(file) ~= "string" or plan.base_name(file) ~= file then
    return nil
  end
  return {
    name = name,
    path = plan.join(folder, file),
    position_s = position_s + (facts.start_frame or 0) / facts.rate_hz,
    length_s = facts.frames / facts.rate_hz,
  }
end

--- What is to be placed, from a manifest that lies in `folder`: a list of stems, each with name,
--- path, position_s and length_s. Returns nil and a reason for a manifest of something else.
function plan.stems(manifest, folder, start_s, offset_s)
  if type(manifest) ~= "table" or manifest.generator ~= "stembridge" or manifest.schema ~= 1 then
    return nil, "the manifest is of another program, or of a newer Stembridge"
  end
  local position_s = plan.position(manifest.source, start_s, offset_s)
  local found = {}
  for _, facts in ipairs(manifest.stems) do
    found[#found + 1] = stem(facts, folder, position_s)
  end
  if #found == 0 or #found ~= #manifest.stems then return nil, "the manifest is damaged" end
  return found
end

--- Whether a manifest is about the bounce that was rendered to `target`.
function plan.is_about(manifest, target)
  local source = type(manifest) == "table" and manifest.source
  local path = type(source) == "table" and source.path
  return type(path) == "string" and plan.base_name(path) == plan.base_name(target)
end

--- The tracks to be made, in their order: a folder, and in it a track for each stem.
--- depth: REAPER's I_FOLDERDEPTH, whose sum is 0, so that all tracks around keep their place.
function plan.tracks(stems, name)
  local tracks = { { name = name .. " stems", depth = 1 } }
  for index, one in ipairs(stems) do
    tracks[#tracks + 1] = { name = one.name, depth = index == #stems and -1 or 0, stem = one }
  end
  return tracks
end

--- Why there will be no stems of the bounce, as the service's log says; nil while it says nothing
--- of the kind. It failed, or was skipped for a reason: without one, its stems are there already.
function plan.verdict(lines, target)
  local wanted = plan.base_name(target)
  local final = { failed = true, skipped = true }
  for line in lines:gmatch("[^\n]+") do
    local read, entry = pcall(json.decode, line)
    if read and type(entry) == "table" and final[entry.event] and entry.reason then
      local bounce = type(entry.bounce) == "string" and plan.base_name(entry.bounce)
      if bounce == wanted then return tostring(entry.reason) end
    end
  end
  return nil
end

--- Where the service keeps its log, unless the settings say otherwise; nil when nobody knows.
--- os_name: as reaper.GetOS gives it.
function plan.log_path(getenv, os_name)
  local function below(variable, place)
    local start = getenv(variable)
    return start and start .. place
  end
  local folder = getenv("STEMBRIDGE_STATE_DIR")
  if not folder and os_name:match("^Win") then
    folder = below("LOCALAPPDATA", "/stembridge/stembridge")
  elseif not folder and (os_name:match("^OSX") or os_name:match("^macOS")) then
    folder = below("HOME", "/Library/Application Support/stembridge")
  elseif not folder then
    folder = below("XDG_STATE_HOME", "/stembridge") or below("HOME", "/.local/state/stembridge")
  end
  return folder and folder .. "/log/service.jsonl"
end

return plan
