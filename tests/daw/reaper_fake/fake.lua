-- A REAPER of tables that checks every call, and whose renderer writes a real WAV file.
--
-- fake.new(project): project has rate_hz, offset_s, name, tracks, range, music (a WAV file of 24 bit
-- that is the whole mix, from frame 0 of the project on), answers and, for trouble, cancel.

local api = require("api")

local fake = {}

local POINTERS = {
  MediaItem = true, MediaTrack = true, MediaItem_Take = true, PCM_source = true, ReaProject = true,
}

local function fits(value, kind)
  if kind == "ReaProject" and value == 0 then return true end
  if POINTERS[kind] then return type(value) == "table" and value.kind == kind end
  if kind == "integer" then return math.type(value) == "integer" or
    math.type(value) == "float" and value == math.floor(value) end
  if kind == "identifier" then return type(value) == "table" end
  return type(value) == kind
end

local function checked(self, name, types, call)
  return function(...)
    local given = select("#", ...)
    if given ~= #types then
      self:complain("%s takes %d arguments, not %d", name, #types, given)
    end
    for index, kind in ipairs(types) do
      local value = select(index, ...)
      if not fits(value, kind) then
        self:complain("%s: argument %d is %s, not %s", name, index, tostring(value), kind)
      end
    end
    self.calls[name] = (self.calls[name] or 0) + 1
    return call(...)
  end
end

local function known(self, names, name)
  if names[name] == nil then self:complain("there is no value %s", tostring(name)) end
end

local function in_undo_step(self, what)
  if self.undo_depth ~= 1 then self:complain("%s outside of an undo step", what) end
end

local function with_defaults(values, defaults)
  return setmetatable(values or {}, { __index = defaults })
end

function fake.item(values, name, selected)
  return {
    kind = "MediaItem", values = with_defaults(values, api.item_values), selected = selected,
    take = name and { kind = "MediaItem_Take", name = name },
  }
end

function fake.track(name, items, values)
  local track = { kind = "MediaTrack", name = name, items = items or {} }
  track.values = with_defaults(values, api.track_values)
  for _, item in ipairs(track.items) do item.track = track end
  return track
end

-- --- the renderer -------------------------------------------------------------------------------

local function pcm_of(path)
  local file = assert(io.open(path, "rb"))
  local bytes = file:read("a")
  file:close()
  local at = 13
  local channels, rate
  while at < #bytes do
    local id, size = string.unpack("<c4I4", bytes, at)
    if id == "fmt " then channels, rate = string.unpack("<I2I4", bytes, at + 10) end
    if id == "data" then return bytes:sub(at + 8, at + 7 + size), channels, rate end
    at = at + 8 + size + size % 2
  end
  error("no data chunk in " .. path)
end

local function chunk(id, body)
  return id .. string.pack("<I4", #body) .. body .. ("\0"):rep(#body % 2)
end

local function wav(pcm, channels, rate, time_reference)
  local block = channels * 3
  local fmt = string.pack("<I2I2I4I4I2I2", 1, channels, rate, rate * block, block, 24)
  local texts = ("\0"):rep(256 + 32 + 32 + 10 + 8)
  local bext = texts .. string.pack("<I8I2", time_reference, 1) .. ("\0"):rep(64 + 190)
  local body = "WAVE" .. chunk("bext", bext) .. chunk("fmt ", fmt) .. chunk("data", pcm)
  return "RIFF" .. string.pack("<I4", #body) .. body
end

local function exists(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

local function selected(self)
  local found = {}
  for _, track in ipairs(self.project.tracks) do
    for _, item in ipairs(track.items) do
      if item.selected then found[#found + 1] = item end
    end
  end
  return found
end

local function bounds(self)
  local numbers = self.numbers
  if numbers.RENDER_SETTINGS == 32 and numbers.RENDER_BOUNDSFLAG == 4 then
    local item = selected(self)[1].values
    return item.D_POSITION, item.D_POSITION + item.D_LENGTH
  end
  if numbers.RENDER_SETTINGS ~= 0 or numbers.RENDER_BOUNDSFLAG ~= 0 then
    self:complain("the renderer is asked for something else")
  end
  return numbers.RENDER_STARTPOS, numbers.RENDER_ENDPOS
end

local function frame(seconds, rate)
  return math.floor(seconds * rate + 0.5)
end

local function render(self)
  local project = self.project
  self.sidecar_first = exists(self:target() .. ".yaml")
  if exists(self:target()) then self:complain("REAPER would ask whether to replace a file") end
  if project.cancel then return end
  for name, wanted in pairs({ RENDER_TAILFLAG = 0, RENDER_ADDTOPROJ = 0, RENDER_SRATE = 0,
    RENDER_NORMALIZE = 0, RENDER_DITHER = 0 }) do
    if self.numbers[name] ~= wanted then self:complain("rendered with %s", name) end
  end
  local pcm, channels, rate = pcm_of(project.music)
  local start_s, end_s = bounds(self)
  local from, to = frame(start_s, rate), frame(end_s, rate)
  local block = channels * 3
  local cut = pcm:sub(from * block + 1, to * block)
  if project.silent then cut = ("\0"):rep(#cut) end
  local reference = project.no_time_reference and 0 or from + frame(project.offset_s, rate)
  local file = assert(io.open(self:target(), "wb"))
  file:write(wav(cut, channels, rate, reference))
  file:close()
end

-- --- the functions ------------------------------------------------------------------------------

local function project_functions(self, f)
  local project = self.project
  function f.EnumProjects(_) return project, project.name end
  function f.GetProjectName(_) return project.name end
  function f.GetProjectTimeOffset(_, _) return project.offset_s end
  function f.GetAudioDeviceInfo(_) return true, tostring(project.rate_hz) end
  function f.GetOS() return "Other" end
  function f.GetSet_LoopTimeRange2(_, set, _, _, _, _)
    if set then self:complain("the time range is not ours to change") end
    return project.range[1], project.range[2]
  end
  function f.GetSetProjectInfo(_, name, value, set)
    known(self, api.project_numbers, name)
    if set then self.numbers[name] = value end
    return self.numbers[name]
  end
  function f.GetSetProjectInfo_String(_, name, value, set)
    known(self, api.project_strings, name)
    if name == "RENDER_TARGETS" then return true, self:target() end
    if set then self.strings[name] = value end
    return true, self.strings[name]
  end
  function f.Main_OnCommand(command, _)
    if command == 42230 then
      render(self)
    elseif command ~= 40047 then
      self:complain("there is no use for action %d", command)
    end
  end
end

local function track_functions(self, f)
  local tracks = self.project.tracks
  function f.CountTracks(_) return #tracks end
  function f.GetTrack(_, index) return tracks[index + 1] end
  function f.InsertTrackAtIndex(index, _)
    in_undo_step(self, "a track was added")
    if index > #tracks then self:complain("no track can be added at %d", index) end
    table.insert(tracks, index + 1, fake.track(""))
  end
  function f.GetMediaTrackInfo_Value(track, name)
    known(self, api.track_values, name)
    if name ~= "IP_TRACKNUMBER" then return track.values[name] end
    for index, one in ipairs(tracks) do
      if one == track then return index + 0.0 end
    end
  end
  function f.SetMediaTrackInfo_Value(track, name, value)
    known(self, api.track_values, name)
    in_undo_step(self, name .. " of a track was set")
    track.values[name] = value
    return true
  end
  function f.GetSetMediaTrackInfo_String(track, name, value, set)
    if name ~= "P_NAME" then self:complain("a track has no %s", name) end
    if set then track.name = value end
    return true, track.name
  end
end

local function item_functions(self, f)
  function f.CountSelectedMediaItems(_) return #selected(self) end
  function f.GetSelectedMediaItem(_, index) return selected(self)[index + 1] end
  function f.CountTrackMediaItems(track) return #track.items end
  function f.GetTrackMediaItem(track, index) return track.items[index + 1] end
  function f.GetMediaItem_Track(item) return item.track end
  function f.GetActiveTake(item) return item.take end
  function f.GetTakeName(take) return take.name end
  function f.AddMediaItemToTrack(track)
    in_undo_step(self, "an item was added")
    local item = fake.item()
    item.track = track
    table.insert(track.items, item)
    return item
  end
  function f.AddTakeToMediaItem(item)
    item.take = { kind = "MediaItem_Take", name = "" }
    return item.take
  end
  function f.SetMediaItemTake_Source(take, source)
    take.source = source
    return true
  end
  function f.PCM_Source_CreateFromFile(path)
    if not exists(path) or self.project.unreadable then return nil end
    return { kind = "PCM_source", path = path }
  end
  function f.GetSetMediaItemTakeInfo_String(take, name, value, set)
    if name ~= "P_NAME" then self:complain("a take has no %s", name) end
    if set then take.name = value end
    return true, take.name
  end
  function f.GetMediaItemInfo_Value(item, name)
    known(self, api.item_values, name)
    return item.values[name]
  end
  function f.SetMediaItemInfo_Value(item, name, value)
    known(self, api.item_values, name)
    in_undo_step(self, name .. " of an item was set")
    item.values[name] = value
    return true
  end
end

local function other_functions(self, f)
  function f.GetExtState(section, key) return self.state[section .. "." .. key] or "" end
  function f.SetExtState(section, key, value, _) self.state[section .. "." .. key] = value end
  function f.GetUserInputs(_, count, captions, offered)
    local _, commas = captions:gsub(",", "")
    -- The fields, and two words about how they look and how answers are told apart.
    if commas ~= count + 1 then self:complain("%d fields, but captions %s", count, captions) end
    self.offered = offered
    if not self.project.answers then return false, "" end
    return true, self.project.answers
  end
  function f.ShowMessageBox(text, _, _)
    if self.ui_locks ~= 0 then self:complain("a message while the screen stands still") end
    self.messages[#self.messages + 1] = text
    return 1
  end
  function f.ValidatePtr(pointer, kind)
    return not pointer.gone and pointer.kind .. "*" == kind
  end
  function f.PreventUIRefresh(count) self.ui_locks = self.ui_locks + count end
  function f.UpdateArrange() end
  function f.Undo_BeginBlock() self.undo_depth = self.undo_depth + 1 end
  function f.Undo_EndBlock(text, _)
    self.undo_depth = self.undo_depth - 1
    self.undo[#self.undo + 1] = text
  end
  function f.file_exists(path) return exists(path) end
  function f.time_precise() return self.now_s end
  function f.defer(call) table.insert(self.deferred, call) end
end

function fake.new(project)
  project.kind = "ReaProject"
  local self = {
    project = project, calls = {}, complaints = {}, messages = {}, undo = {}, deferred = {},
    state = {}, undo_depth = 0, ui_locks = 0, now_s = 1000.0,
    numbers = with_defaults({ PROJECT_SRATE = project.rate_hz }, api.project_numbers),
    strings = with_defaults({}, api.project_strings),
  }
  function self:complain(form, ...)
    self.complaints[#self.complaints + 1] = form:format(...)
  end
  function self:target()
    return self.strings.RENDER_FILE .. "/" .. self.strings.RENDER_PATTERN .. ".wav"
  end
  local functions = {}
  project_functions(self, functions)
  track_functions(self, functions)
  item_functions(self, functions)
  other_functions(self, functions)
  self.reaper = setmetatable({}, { __index = function(_, name)
    self:complain("REAPER has no function %s", tostring(name))
  end })
  for name, call in pairs(functions) do
    self.reaper[name] = checked(self, name, assert(api.arguments[name], name), call)
  end
  for name in pairs(api.arguments) do assert(functions[name], name) end
  return self
end

--- One turn of the main loop: what was deferred before it is called once. False when nothing was.
function fake.turn(self, seconds)
  local calls = self.deferred
  self.deferred, self.now_s = {}, self.now_s + seconds
  for _, call in ipairs(calls) do call() end
  return #calls > 0
end

--- What is not in order at the end.
function fake.finish(self)
  if self.undo_depth ~= 0 then self:complain("an undo step was left open") end
  if self.ui_locks ~= 0 then self:complain("the screen was left standing still") end
  for name, before in pairs(api.project_numbers) do
    local now = self.numbers[name]
    if name ~= "PROJECT_SRATE" and now ~= before then self:complain("%s is %s now", name, now) end
  end
  for name, before in pairs(api.project_strings) do
    if self.strings[name] ~= before then self:complain("%s was not put back", name) end
  end
end

return fake
