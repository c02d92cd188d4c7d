-- Stembridge: stems of the selected item, or of the time range, on tracks of their own.
--
-- Install: 1. Copy this file and the folder `stembridge` into Scripts, in REAPER's resource path
--             (Options > Show REAPER resource path in explorer/finder).
--          2. Actions > Show action list > New action > Load ReaScript: this file.
--          3. Start `stembridge watch FOLDER`, run the action, and tell it that folder.
--
-- With one item selected, that item is rendered, with its take effects but not those of its track,
-- and muted when its stems are there. Else the master mix of the time range is; then every track
-- with something in the range is muted, and the stems have gone through the master's effects
-- already. The stems come to where the render began, to the frame, without fades; one undo takes
-- all of it back. Nothing waits: go on working. Needs REAPER 6.

local here = debug.getinfo(1, "S").source:match("^@(.*[/\\])") or ""
package.path = here .. "?.lua;" .. package.path

local files = { exists = reaper.file_exists }

function files.read(path, from_byte)
  local file = io.open(path, "rb")
  if not file then return nil end
  file:seek("set", from_byte)
  local text = file:read("a")
  file:close()
  return text
end

function files.size(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local size = file:seek("end")
  file:close()
  return size
end

function files.write(path, text)
  local file = io.open(path, "wb")
  if not file then return false end
  local written = file:write(text)
  return file:close() and written ~= nil
end

require("stembridge.action").run(reaper, files, os.getenv)
