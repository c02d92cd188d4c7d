-- The action from beginning to end: ask, render, wait, place. See stembridge_stems.lua.

local place = require("stembridge.place")
local plan = require("stembridge.plan")
local render = require("stembridge.render")
local wait = require("stembridge.wait")

local action = {}

local TITLE = "Stembridge"
local SECTION = "stembridge" -- of REAPER's settings for scripts
local OK = 0 -- a message box with one button

local function tell(reaper, text)
  reaper.ShowMessageBox(text, TITLE, OK)
end

--- Folder, preset and output folder as the user gives them; the last answers are offered again.
--- nil when the user does not want to go on.
function action.answers(reaper)
  local names = { "folder", "preset", "out" }
  local known = {}
  for index, name in ipairs(names) do known[index] = reaper.GetExtState(SECTION, name) end
  local captions = "Watched folder,Preset (empty: as usual),Stems (empty: Stems in it)"
  local going, typed = reaper.GetUserInputs(
    TITLE, #names, captions .. ",extrawidth=240,separator=\n", table.concat(known, "\n"))
  if not going then return nil end
  local answers, index = {}, 0
  for value in (typed .. "\n"):gmatch("([^\n]*)\n") do
    index = index + 1
    if names[index] then answers[names[index]] = value:match("^%s*(.-)%s*$") end
  end
  for _, name in ipairs(names) do
    answers[name] = answers[name] or ""
    reaper.SetExtState(SECTION, name, answers[name], true)
  end
  if answers.out == "" then answers.out = plan.join(answers.folder, "Stems") end
  return answers
end

--- The project's rate in Hz; 0 when there is none yet.
function action.rate(reaper, project)
  if reaper.GetSetProjectInfo(project, "PROJECT_SRATE_USE", 0, false) == 1 then
    return reaper.GetSetProjectInfo(project, "PROJECT_SRATE", 0, false)
  end
  local known, rate = reaper.GetAudioDeviceInfo("SRATE")
  return known and tonumber(rate) or 0
end

local function item_name(reaper, item)
  local take = reaper.GetActiveTake(item)
  local name = take and reaper.GetTakeName(take) or ""
  return (name:gsub("%.[^.%s]+$", "")) -- takes are called after their files
end

local function project_name(reaper, project)
  return (reaper.GetProjectName(project):gsub("%.[rR][pP][pP]$", ""))
end

--- What is to be rendered: the one selected item, else the time range. nil and a reason if neither.
function action.subject(reaper, project)
  if reaper.CountSelectedMediaItems(project) == 1 then
    local item = reaper.GetSelectedMediaItem(project, 0)
    local start_s = reaper.GetMediaItemInfo_Value(item, "D_POSITION")
    local end_s = start_s + reaper.GetMediaItemInfo_Value(item, "D_LENGTH")
    -- An item is rendered as it lies, so its own place is kept.
    return { item = item, title = item_name(reaper, item), start_s = start_s, end_s = end_s }
  end
  local start_s, end_s = reaper.GetSet_LoopTimeRange2(project, false, false, 0, 0, false)
  local range, reason = plan.range(start_s, end_s, action.rate(reaper, project))
  if not range then return nil, reason end
  range.title = project_name(reaper, project)
  return range
end

--- A job from what is to be rendered and the answers. nil and a reason when it cannot be.
function action.job(reaper, subject, answers)
  if answers.folder == "" then return nil, "name the folder that `stembridge watch` looks at" end
  local sidecar, reason = plan.sidecar(answers.preset)
  if reason then return nil, reason end
  subject.folder, subject.sidecar, subject.out = answers.folder, sidecar, answers.out
  subject.name = plan.free_name(plan.safe_name(subject.title), function(name)
    return reaper.file_exists(plan.join(answers.folder, name .. ".wav"))
      or reaper.file_exists(plan.join(plan.join(answers.out, name), "manifest.json"))
  end)
  return subject
end

local function place_all(reaper, job, manifest, folder)
  local offset_s = reaper.GetProjectTimeOffset(0, false)
  local stems, reason = plan.stems(manifest, folder, job.start_s, offset_s)
  if not stems then return reason end
  for _, stem in ipairs(stems) do
    if not reaper.file_exists(stem.path) then return "there is no " .. stem.path end
  end
  local done, trouble = pcall(place.stems, reaper, job, stems)
  return not done and tostring(trouble) or nil
end

local function poll(reaper, files, project, job, state)
  if not reaper.ValidatePtr(project, "ReaProject*") then return end -- closed: nowhere to put them
  local step, found, folder = wait.look(state, files, reaper.time_precise())
  -- Stems go into the project that they are from; with another one in front, they wait.
  local in_front = reaper.EnumProjects(-1) == project
  if step == "ready" and in_front then
    local reason = place_all(reaper, job, found, folder)
    if reason then tell(reaper, job.name .. ": " .. reason) end
  elseif step == "failed" then
    tell(reaper, job.name .. ": " .. found)
  else
    reaper.defer(function() poll(reaper, files, project, job, state) end)
  end
end

--- Runs the action. files: see wait.begin, and write(path, text). getenv: os.getenv.
function action.run(reaper, files, getenv)
  local project = reaper.EnumProjects(-1)
  local job, reason = action.subject(reaper, project)
  if not job then return tell(reaper, reason) end
  local answers = action.answers(reaper)
  if not answers then return end
  job, reason = action.job(reaper, job, answers)
  if not job then return tell(reaper, reason) end
  -- Before the render: the service may have given a bounce up before the render's window closes.
  local state = wait.begin(job.out, plan.log_path(getenv, reaper.GetOS()), files)
  local target
  target, reason = render.bounce(reaper, project, job, files.write)
  if not target then return tell(reaper, reason) end
  wait.rendered(state, target, reaper.time_precise())
  poll(reaper, files, project, job, state)
end

return action
