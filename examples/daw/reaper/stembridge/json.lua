-- A reader of JSON (RFC 8259), which Lua does not have. Writes nothing.

local json = {}

--- Stands for null, in objects and in lists: nil would leave a hole.
json.null = setmetatable({}, { __tostring = function() return "null" end })

local DEEPEST = 100 -- a manifest has four levels
local ESCAPES = {
  ['"'] = '"', ["\\"] = "\\", ["/"] = "/",
  b = "\b", f = "\f", n = "\n", r = "\r", t = "\t",
}
local WORDS = { ["true"] = true, ["false"] = false, null = json.null }

local function fail(what, at)
  error(("not JSON at byte %d: %s"):format(at, what), 0)
end

local function skip(text, at)
  return text:find("[^ \t\r\n]", at) or #text + 1
end

-- Python writes a byte of a file name that is no text as a lone surrogate, DC80 to DCFF.
local function from_unit(unit)
  if unit >= 0xDC80 and unit <= 0xDCFF then return string.char(unit - 0xDC00) end
  return utf8.char(unit)
end

local function unit_at(text, at)
  local digits = text:match("^\\u(%x%x%x%x)", at)
  return digits and tonumber(digits, 16)
end

local function escaped(text, at)
  local unit = unit_at(text, at)
  if not unit then
    local plain = ESCAPES[text:sub(at + 1, at + 1)]
    if not plain then fail("an unknown escape", at) end
    return plain, at + 2
  end
  local low = unit >= 0xD800 and unit <= 0xDBFF and unit_at(text, at + 6)
  if low and low >= 0xDC00 and low <= 0xDFFF then
    return utf8.char(0x10000 + (unit - 0xD800) * 0x400 + low - 0xDC00), at + 12
  end
  return from_unit(unit), at + 6
end

local function string_at(text, at)
  local parts, from = {}, at + 1
  while true do
    local stop = text:find('["\\%c]', from)
    if not stop then fail("a string without an end", at) end
    parts[#parts + 1] = text:sub(from, stop - 1)
    local mark = text:sub(stop, stop)
    if mark == '"' then return table.concat(parts), stop + 1 end
    if mark ~= "\\" and mark ~= "\127" then fail("a control character", stop) end
    if mark == "\\" then
      parts[#parts + 1], from = escaped(text, stop)
    else
      parts[#parts + 1], from = mark, stop + 1
    end
  end
end

local function number_at(text, at)
  local digits = text:match("^-?%d+", at) or fail("no value", at)
  local all = digits .. (text:match("^%.%d+", at + #digits) or "")
  all = all .. (text:match("^[eE][+-]?%d+", at + #all) or "")
  if digits:match("^-?0%d") then fail("a number that begins with 0", at) end
  return math.tointeger(tonumber(all)) or tonumber(all), at + #all
end

local value_at

local function list_at(text, at, deep)
  local list = {}
  at = skip(text, at + 1)
  if text:sub(at, at) == "]" then return list, at + 1 end
  while true do
    list[#list + 1], at = value_at(text, at, deep)
    at = skip(text, at)
    local mark = text:sub(at, at)
    if mark == "]" then return list, at + 1 end
    if mark ~= "," then fail("expected , or ]", at) end
    at = at + 1
  end
end

local function object_at(text, at, deep)
  local object = {}
  at = skip(text, at + 1)
  if text:sub(at, at) == "}" then return object, at + 1 end
  while true do
    local name
    at = skip(text, at)
    if text:sub(at, at) ~= '"' then fail("expected a name", at) end
    name, at = string_at(text, at)
    at = skip(text, at)
    if text:sub(at, at) ~= ":" then fail("expected :", at) end
    object[name], at = value_at(text, at + 1, deep)
    at = skip(text, at)
    local mark = text:sub(at, at)
    if mark == "}" then return object, at + 1 end
    if mark ~= "," then fail("expected , or }", at) end
    at = at + 1
  end
end

function value_at(text, at, deep)
  if deep > DEEPEST then fail("nested too deeply", at) end
  at = skip(text, at)
  local mark = text:sub(at, at)
  if mark == '"' then return string_at(text, at) end
  if mark == "{" then return object_at(text, at, deep + 1) end
  if mark == "[" then return list_at(text, at, deep + 1) end
  local word = text:match("^%a+", at)
  if word and WORDS[word] ~= nil then return WORDS[word], at + #word end
  return number_at(text, at)
end

--- The value of a whole text: table, string, number, boolean or json.null. Raises for other text.
function json.decode(text)
  local value, at = value_at(text, 1, 0)
  at = skip(text, at)
  if at <= #text then fail("something behind the value", at) end
  return value
end

return json
