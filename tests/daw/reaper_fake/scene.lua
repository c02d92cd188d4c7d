-- Runs the action in a project, and tells how the project looks at the end.
--
--   lua scene.lua SCRIPT MUSIC FOLDER PRESET SCENE
--
-- Every line begins with its kind and has its fields between tabs.

local here = arg[0]:match("^(.*)/")
package.path = here .. "/?.lua;" .. package.path
local fake = require("fake")

local script, music, folder, preset, scene = table.unpack(arg)
local rate_hz = 44100

local function seconds(frames) return frames / rate_hz end

local function base()
  return {
    name = "My song.rpp", rate_hz = rate_hz, offset_s = 0, music = music,
    range = { 0.0, 0.0 }, answers = folder .. "\n" .. preset .. "\n",
    tracks = {
      fake.track("drums", { fake.item({ D_POSITION = 0.0, D_LENGTH = 1.0 }, "kick.wav") }),
      fake.track("band", { fake.item({ D_POSITION = seconds(30000), D_LENGTH = seconds(50000) },
        "Mix 3.wav") }, { I_FOLDERDEPTH = 1 }),
      fake.track("late", { fake.item({ D_POSITION = 9.0, D_LENGTH = 1.0 }, "late.wav") },
        { I_FOLDERDEPTH = -1 }),
      fake.track("empty"),
    },
  }
end

local function with_range(project, from_s, to_s)
  project.range = { from_s, to_s }
  return project
end

local function with_item(project)
  project.tracks[2].items[1].selected = true
  return project
end

local scenes = {
  item = function() return with_item(base()) end,
  range = function() return with_range(base(), 0.6234567, 1.7) end,
  offset = function()
    local project = with_range(base(), seconds(25001), seconds(60002))
    project.offset_s = 3600.5
    return project
  end,
  no_reference = function()
    local project = with_range(base(), seconds(25001), seconds(60002))
    project.no_time_reference = true
    return project
  end,
  name = function()
    local project = with_item(base())
    project.tracks[2].items[1].take.name = 'A/B $take "é".wav'
    return project
  end,
  nothing = base,
  no_answer = function()
    local project = with_item(base())
    project.answers = nil
    return project
  end,
  no_folder = function()
    local project = with_item(base())
    project.answers = "\n\n"
    return project
  end,
  cancel = function()
    local project = with_item(base())
    project.cancel = true
    return project
  end,
  silent = function()
    local project = with_item(base())
    project.silent = true
    return project
  end,
  unreadable = function()
    local project = with_item(base())
    project.unreadable = true
    return project
  end,
  closed = function() return with_item(base()) end,
  deleted = function() return with_item(base()) end,
  waits = function() return with_item(base()) end,
}

local project = scenes[scene]()
local self = fake.new(project)
reaper = self.reaper -- luacheck: the name that REAPER gives it
dofile(script)
if scene == "closed" then project.gone = true end
if scene == "deleted" then
  project.tracks[2].items[1].gone = true
  table.remove(project.tracks[2].items, 1)
end

-- A turn is a tenth of a second, or ten minutes where nobody will answer.
local turns = 0
while fake.turn(self, scene == "waits" and 600 or 0.5) and turns < 600 do
  turns = turns + 1
  if scene ~= "waits" then os.execute("sleep 0.1") end
end
fake.finish(self)

local function tell(...)
  local fields = {}
  for _, value in ipairs({ ... }) do
    fields[#fields + 1] = math.type(value) == "float" and ("%.17g"):format(value) or tostring(value)
  end
  print(table.concat(fields, "\t"))
end

for _, track in ipairs(project.tracks) do
  tell("track", track.name, track.values.I_FOLDERDEPTH, track.values.B_MUTE)
  for _, item in ipairs(track.items) do
    local values = item.values
    tell("item", track.name, values.D_POSITION, values.D_LENGTH, values.B_MUTE, item.take.name,
      item.take.source and item.take.source.path or "",
      values.D_FADEINLEN, values.D_FADEOUTLEN, values.D_FADEINLEN_AUTO, values.D_FADEOUTLEN_AUTO,
      values.B_LOOPSRC, values.C_BEATATTACHMODE)
  end
end
for _, text in ipairs(self.messages) do tell("message", (text:gsub("\n", " "))) end
for _, text in ipairs(self.undo) do tell("undo", text) end
for _, text in ipairs(self.complaints) do tell("complaint", text) end
for name in pairs(self.calls) do tell("called", name) end
tell("sidecar", self.sidecar_first)
tell("turns", turns)
for key, value in pairs(self.state) do tell("kept", key, value) end
