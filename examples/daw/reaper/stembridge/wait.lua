-- Looks from time to time whether the stems are there, and never longer than it takes to read.

local json = require("stembridge.json")
local plan = require("stembridge.plan")

local wait = {}

--- Seconds between two looks. A stem set comes in seconds; a look costs less than a millisecond.
wait.BETWEEN_S = 0.5
--- Seconds until it is given up: half an hour, for long ranges with large models.
wait.LONGEST_S = 1800

-- The service numbers the folder when its name is taken: by another kind of file, or once more.
local FOLDERS = { "%s", "%s (wav)", "%s (wav 2)" }

--- A wait, before there is anything to wait for. out: where the service puts stems. log: its log,
--- or nil. files: { exists(path), read(path, from_byte) -> text or nil, size(path) or nil }.
function wait.begin(out, log, files)
  -- What the log says of earlier bounces is not about ours.
  return { out = out, log = log, log_byte = log and files.size(log) or 0 }
end

--- From now on the stems of this bounce may come.
function wait.rendered(state, target, now_s)
  state.target, state.began_s, state.next_s = target, now_s, now_s
end

local function manifest_of(state, files)
  local name = plan.base_name(state.target):gsub("%.[^.]*$", "")
  for _, form in ipairs(FOLDERS) do
    local folder = plan.join(state.out, form:format(name))
    local path = plan.join(folder, "manifest.json")
    if files.exists(path) then
      local read, manifest = pcall(json.decode, files.read(path, 0) or "")
      if not read then return nil, nil, path .. ": " .. tostring(manifest) end
      if plan.is_about(manifest, state.target) then return manifest, folder end
    end
  end
  return nil
end

-- What is new in the log since the last look; from its beginning when it was begun anew.
local function news(state, files)
  local size = state.log and files.size(state.log)
  if not size then return "" end
  if size < state.log_byte then state.log_byte = 0 end
  local text = files.read(state.log, state.log_byte) or ""
  local whole = text:match("^.*\n") or "" -- the last line may still be written
  state.log_byte = state.log_byte + #whole
  return whole
end

--- One look. Returns "waiting"; or "ready", the manifest and its folder; or "failed" and a reason.
function wait.look(state, files, now_s)
  if now_s < state.next_s then return "waiting" end
  state.next_s = now_s + wait.BETWEEN_S
  local manifest, folder, damage = manifest_of(state, files)
  if manifest then return "ready", manifest, folder end
  local reason = damage or plan.verdict(news(state, files), state.target)
  if reason then return "failed", reason end
  if now_s - state.began_s > wait.LONGEST_S then
    return "failed", ("no stems after %d minutes; is `stembridge watch` running? "
      .. "`stembridge status` knows more"):format(wait.LONGEST_S // 60)
  end
  return "waiting"
end

return wait
