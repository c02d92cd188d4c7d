-- The import hook of examples/daw/ardour, loaded as Ardour loads it, driven by signals.
--
--   lua ardour_hook.lua SCRIPT FOLDER EXPORT START ERROR_FRAMES            (an Ardour of tables)
--   ardour7-lua ardour_hook.lua SCRIPT FOLDER EXPORT START ERROR_FRAMES SESSION_FOLDER NAME RATE
--
-- There is no editor without a window, so the import is ours: a new track, and on it the region
-- with the fades that Ardour gives it, ERROR_FRAMES beside its place. In Ardour itself all the rest
-- is real. Every line that matters begins with "@" and has its fields between tabs.

local script, folder, export, start, off = arg[1], arg[2], arg[3], tonumber(arg[4]), tonumber(arg[5])
start, off = math.tointeger(start), math.tointeger(off)

local function tell(...)
  local fields = {}
  for _, value in ipairs({ ... }) do fields[#fields + 1] = tostring(value) end
  print("@" .. table.concat(fields, "\t"))
end

local function complain(...) tell("complaint", ...) end

-- --- what only the window has ---

LuaSignal = { Exported = 1, LuaTimerDS = 2, SoloActive = 3 }
local subscribed
function LuaSignal.Set() return { add = function(_, set) subscribed = set end } end

Editing = { ImportDistinctFiles = "distinct", ImportAsTrack = "as track" }
LuaDialog = { MessageType = { Warning = "warning" }, ButtonType = { Close = "close" } }
function LuaDialog.Message(title, text, kind, button)
  if title ~= "Stembridge" or kind ~= "warning" or button ~= "close" then complain("message") end
  return { run = function() tell("message", text) end }
end

local imports = {}
Editor = {}

local function check_import(files, disposition, mode, quality, names, tempo, place, plugin, track, markers)
  if files:size() ~= 1 then complain("files", files:size()) end
  if disposition ~= "distinct" or mode ~= "as track" then complain(disposition, mode) end
  if quality ~= ARDOUR.SrcQuality.SrcBest then complain("quality") end
  if names ~= ARDOUR.MidiTrackNameSource.SMFTrackName then complain("names") end
  if tempo ~= ARDOUR.MidiTempoMapDisposition.SMFTempoIgnore then complain("tempo") end
  if plugin == nil or track == nil or markers ~= false then complain("arguments") end
  imports[#imports + 1] = place:samples()
end

-- --- Ardour: the real one, or tables ---

local session, make

if arg[6] then
  AudioEngine:set_backend("None (Dummy)", "", "")
  AudioEngine:set_device_name("Silence")
  AudioEngine:set_sample_rate(tonumber(arg[8]))
  AudioEngine:start(false)
  session = assert(load_session(arg[6], arg[7]), "Ardour does not open it")

  local regions = {} -- what the files hold, by the name of the stem
  for route in session:get_tracks():iter() do
    for region in route:to_track():playlist():region_list():iter() do
      regions[region:name()] = region
    end
  end

  make = function(path, position)
    local region = assert(regions[path:match(" %- (%w+)%.wav$")], path)
    local copy = ARDOUR.RegionFactory.clone_region(region, true, false)
    copy:to_audioregion():set_fade_in_active(true)
    copy:to_audioregion():set_fade_out_active(true)
    local tracks = session:new_audio_track(2, 2, nil, 1, "new",
      ARDOUR.PresentationInfo.max_order, ARDOUR.TrackMode.Normal, true)
    for track in tracks:iter() do
      track:to_track():playlist():add_region(copy, Temporal.timepos_t(position), 1, false)
    end
  end
else
  local function listed(list)
    return { iter = function()
      local index = 0
      return function() index = index + 1; return list[index] end
    end }
  end
  local tracks, number = {}, 0

  local function region_of(position, length)
    local one = { fade_in = true, fade_out = true, at = position }
    function one:isnil() return false end
    function one:set_fade_in_active(on) self.fade_in = on end
    function one:set_fade_out_active(on) self.fade_out = on end
    function one:fade_in_active() return self.fade_in end
    function one:fade_out_active() return self.fade_out end
    function one:to_audioregion() return self end
    function one:position() return Temporal.timepos_t(self.at) end
    function one:set_position(place) self.at = place:samples() end
    function one:length() return Temporal.timepos_t(length) end
    return one
  end

  local function track_of(name, regions)
    number = number + 1
    local one, id = { called = name }, number
    function one:to_stateful() return self end
    function one:id() return self end
    function one:to_s() return tostring(id) end
    function one:name() return self.called end
    function one:set_name(given) self.called = given end
    function one:to_track() return self end
    function one:playlist() return self end
    function one:region_list() return listed(regions) end
    tracks[#tracks + 1] = one
  end

  local latest = math.maxinteger // 2
  Temporal = { TimeDomain = { AudioTime = "audio" }, timepos_t = setmetatable({}, {
    __call = function(_, samples) return { samples = function() return samples end } end }) }
  function Temporal.timepos_t.max(domain)
    if domain ~= "audio" then complain("time domain") end
    return Temporal.timepos_t(latest)
  end
  ARDOUR = {
    SrcQuality = { SrcBest = "best" }, MidiTrackNameSource = { SMFTrackName = "track" },
    MidiTempoMapDisposition = { SMFTempoIgnore = "ignore" },
    PluginInfo = function() return "no plugin" end, Track = function() return "no track" end,
  }
  C = { StringVector = function()
    local list = {}
    function list:push_back(text) self[#self + 1] = text end
    function list:size() return #self end
    function list:at(index) return self[index + 1] end
    return list
  end }
  Session = {}
  function Session:nominal_sample_rate() return 48000 end
  function Session:get_tracks() return listed(tracks) end
  session = Session
  track_of("before", { region_of(0, 100) })
  local length = math.tointeger(tonumber(os.getenv("STEM_FRAMES") or "0"))
  make = function(_, position) track_of("new", { region_of(position, length) }) end
end

local latest = Temporal.timepos_t.max(Temporal.TimeDomain.AudioTime):samples()

function Editor:do_import(files, ...)
  check_import(files, ...)
  local place = imports[#imports]
  -- "Latest" stands for the time reference of the file, which is that of the export.
  make(files:at(0), (place == latest and start or place) + off)
end

-- --- the hook, as Ardour loads it: bytecode of one function, first tried without io and os ---

function ardour(entry)
  if entry.type ~= "EditorHook" or not entry.name then complain("descriptor") end
end
local env = {}
for name, value in pairs(_G) do env[name] = value end
for _, name in ipairs({ "dofile", "require", "package", "debug", "rawget", "rawset", "coroutine" }) do
  env[name] = nil
end
assert(loadfile(script, "t", env))()
local parameters = env.action_params()
env.signals()
for _, signal in ipairs({ LuaSignal.Exported, LuaSignal.LuaTimerDS }) do
  if not subscribed[signal] then complain("not subscribed", signal) end
end
local bytes = string.dump(env.factory, true)
local bare = setmetatable({ io = false, os = false }, { __index = env })
local values = { folder = folder }
if not parameters.folder or not parameters.out.optional then complain("parameters") end
load(bytes, "hook", "b", bare)(values)
local hook = load(bytes, "hook", "b", env)(values)

local function turn(count)
  for _ = 1, count do hook(LuaSignal.LuaTimerDS, nil) end
end

hook(LuaSignal.Exported, nil, "range", "/elsewhere/" .. export:match("[^/]*$"), false, start)
hook(LuaSignal.Exported, nil, "range", export, false, start)
turn(25)
tell("before", #imports)
-- The stems come now: what lay in `new` is moved to where the service puts it.
local name = export:match("([^/]*)%.[^.]*$")
local place = ("%s/Stems/%s/manifest.json"):format(folder, name)
if os.getenv("MANIFEST") then assert(os.rename(os.getenv("MANIFEST"), place)) end
turn(25)
turn(math.tointeger(tonumber(os.getenv("TICKS") or "0")))
tell("after", #imports)

for route in session:get_tracks():iter() do
  for region in route:to_track():playlist():region_list():iter() do
    local audio = region:to_audioregion()
    tell("region", route:name(), region:position():samples(), region:length():samples(),
      audio:fade_in_active() or audio:fade_out_active())
  end
end

if arg[6] then
  session, make = nil, nil
  collectgarbage()
  close_session()
  quit()
end
