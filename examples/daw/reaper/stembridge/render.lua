-- One file out of REAPER's renderer, and every setting as it was before.

local plan = require("stembridge.plan")

local render = {}

-- "File: Render project, using the most recent render settings, auto-close render dialog"
local RENDER = 42230
-- WAV, 24 bit, with a bext chunk; the sink's bytes 'evaw', 24, 1, 1 in base 64.
local WAV_24_BWF = "ZXZhdxgBAQ=="
local MASTER_MIX, SELECTED_ITEMS = 0, 32 -- RENDER_SETTINGS
local CUSTOM_BOUNDS, ITEM_BOUNDS = 0, 4 -- RENDER_BOUNDSFLAG

--- What has to be set for a job: a list of { name, value }, strings and numbers.
function render.settings(job)
  return {
    { "RENDER_SETTINGS", job.item and SELECTED_ITEMS or MASTER_MIX },
    { "RENDER_BOUNDSFLAG", job.item and ITEM_BOUNDS or CUSTOM_BOUNDS },
    { "RENDER_STARTPOS", job.start_s },
    { "RENDER_ENDPOS", job.end_s },
    { "RENDER_CHANNELS", 2 },
    { "RENDER_SRATE", 0 }, -- the project's
    { "RENDER_TAILFLAG", 0 }, -- stems are as long as the range
    { "RENDER_ADDTOPROJ", 0 }, -- the stems come back, not the bounce
    { "RENDER_DITHER", 0 }, -- stems have to add up to what was rendered
    { "RENDER_NORMALIZE", 0 },
    { "RENDER_FILE", job.folder },
    { "RENDER_PATTERN", job.name },
    { "RENDER_FORMAT", WAV_24_BWF },
    { "RENDER_FORMAT2", "" },
  }
end

local function get(reaper, project, name, sample)
  if type(sample) == "number" then return reaper.GetSetProjectInfo(project, name, 0, false) end
  local _, value = reaper.GetSetProjectInfo_String(project, name, "", false)
  return value
end

local function set(reaper, project, name, value)
  if type(value) == "number" then
    reaper.GetSetProjectInfo(project, name, value, true)
  else
    reaper.GetSetProjectInfo_String(project, name, value, true)
  end
end

--- Calls `body` with these settings in force. Whatever it does, all are put back, the last first.
function render.with(reaper, project, settings, body)
  local before = {}
  local done, result = pcall(function()
    for index, setting in ipairs(settings) do
      before[index] = { setting[1], get(reaper, project, setting[1], setting[2]) }
      set(reaper, project, setting[1], setting[2])
    end
    return body()
  end)
  for index = #before, 1, -1 do set(reaper, project, before[index][1], before[index][2]) end
  if not done then error(result, 0) end
  return result
end

--- The one file that REAPER would write now, or nil and a reason.
function render.target(reaper, project)
  local _, targets = reaper.GetSetProjectInfo_String(project, "RENDER_TARGETS", "", false)
  local first, more = targets:match("^([^;]+);?(.*)$")
  if not first then return nil, "REAPER would render nothing" end
  if more ~= "" then return nil, "REAPER would render several files; select one item" end
  return first
end

--- Renders a job (folder, name, start_s, end_s, item or nil, sidecar or nil). `write` puts a text
--- into a file. Returns the path of the bounce, or nil and a reason.
function render.bounce(reaper, project, job, write)
  local reason
  local target = render.with(reaper, project, render.settings(job), function()
    local file, wrong = render.target(reaper, project)
    if not file then
      reason = wrong
      return nil
    end
    -- Before the bounce: the service takes a bounce as soon as it is closed.
    if job.sidecar and not write(file .. ".yaml", job.sidecar) then
      reason = "cannot write into " .. job.folder
      return nil
    end
    reaper.Main_OnCommand(RENDER, 0)
    return file
  end)
  if not target then return nil, reason end
  if not reaper.file_exists(target) then
    return nil, "the render was cancelled, or failed: there is no " .. plan.base_name(target)
  end
  return target
end

return render
