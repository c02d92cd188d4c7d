-- Calls one function of the script's modules many times: JSON in, JSON out, a line each.
--
--   lua call.lua SCRIPT_FOLDER MODULE FUNCTION < lists of arguments

package.path = arg[1] .. "/?.lua;" .. package.path
local json = require("stembridge.json")
local call = require("stembridge." .. arg[2])[arg[3]]

local function text(value)
  local quoted = value:gsub('[%c"\\]', function(c) return ("\\u%04x"):format(c:byte()) end)
  return '"' .. quoted .. '"'
end

local encode

local function members(value)
  local parts = {}
  if #value > 0 or next(value) == nil then
    for index, one in ipairs(value) do parts[index] = encode(one) end
    return "[" .. table.concat(parts, ",") .. "]"
  end
  for name, one in pairs(value) do parts[#parts + 1] = text(name) .. ":" .. encode(one) end
  return "{" .. table.concat(parts, ",") .. "}"
end

function encode(value)
  if value == nil or value == json.null then return "null" end
  if type(value) == "table" then return members(value) end
  if type(value) == "string" then return text(value) end
  if math.type(value) == "float" then
    local digits = ("%.17g"):format(value)
    return digits:find("[%.e]") and digits or digits .. ".0"
  end
  return tostring(value)
end

for line in io.lines() do
  local results = table.pack(pcall(call, table.unpack(json.decode(line))))
  local told = {}
  for index = 1, results.n do told[index] = encode(results[index]) end
  print("[" .. table.concat(told, ",") .. "]")
end
