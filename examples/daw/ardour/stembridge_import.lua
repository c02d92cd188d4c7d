ardour {
  ["type"]    = "EditorHook",
  name        = "Stembridge: import stems",
  license     = "GPL",
  author      = "The Stembridge developers",
  description = [[When you export into the folder that Stembridge watches, its stems come back as tracks: at the time reference of the export, without fades.]]
}

-- Install: 1. Copy this file into the folder `scripts` of Ardour's settings (Linux:
--             ~/.config/ardour7/scripts, macOS: ~/Library/Preferences/Ardour7/scripts).
--          2. Edit > Lua Scripts > Script Manager > Action Hooks > New Hook: "Stembridge: import
--             stems", and the folder that you export into.
--          3. Start `stembridge watch FOLDER`, and export a range as BWAV into that folder.
--
-- Nothing is muted or removed: mute what you exported, and the sum is the same. For Ardour 7 and 8.

function action_params ()
  return {
    ["folder"] = { title = "Watched folder", default = "~/Bounces" },
    ["out"]    = { title = "Stems (empty: Stems in it)", default = "", optional = true },
  }
end

function signals ()
  local set = LuaSignal.Set ()
  set:add ({ [LuaSignal.Exported] = true, [LuaSignal.LuaTimerDS] = true })
  return set
end

-- Ardour keeps only what is inside of this function, and without io and os when it tries it out.
function factory (params)

  -- --- the reader of JSON of the script for REAPER, as it is there ---
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
  -- --- end of the reader ---

  local TICKS_BETWEEN_LOOKS = 10  -- the timer comes ten times a second
  local LONGEST_LOOKS = 1800      -- half an hour, for long ranges with large models

  local function base_name (path)
    return path:match ("[^/\\]*$")
  end

  local function expanded (folder)
    return (folder:gsub ("^~", os.getenv ("HOME") or "~"):gsub ("[/\\]+$", ""))
  end

  -- Where the stems of an export will be; nil when it did not go into the watched folder.
  local function place_of (path, folder, out)
    if path:sub (1, #folder + 1) ~= folder .. "/" then return nil end
    local below = path:sub (#folder + 2):gsub ("%.[^./]*$", "")
    return (out == "" and folder .. "/Stems" or out) .. "/" .. below
  end

  local function content (path)
    local file = io.open (path, "rb")
    if not file then return nil end
    local text = file:read ("a")
    file:close ()
    return text
  end

  -- What is to be imported: paths, position and lengths in samples. nil and a reason for a manifest
  -- of something else.
  local function plan_of (text, place, path, start)
    local read, manifest = pcall (json.decode, text)
    if not read or type (manifest) ~= "table" or manifest.generator ~= "stembridge" then
      return nil, "the manifest cannot be read"
    end
    if base_name (manifest.source.path) ~= base_name (path) then
      return nil, "the manifest is about " .. base_name (manifest.source.path)
    end
    if manifest.source.rate_hz ~= Session:nominal_sample_rate () then
      return nil, "the stems have another rate than the session"
    end
    local reference = manifest.source.time_reference
    local plan = {
      name = base_name (place),
      stems = {},
      timed = type (reference) == "number" and reference > 0,
      position = type (reference) == "number" and reference or start,
    }
    for index, stem in ipairs (manifest.stems) do
      plan.stems[index] = {
        name = stem.name,
        path = place .. "/" .. base_name (stem.path),
        length = stem.frames,
        position = plan.position + (stem.start_frame or 0),
      }
    end
    return plan
  end

  local function track_ids ()
    local known = {}
    for route in Session:get_tracks ():iter () do
      known[route:to_stateful ():id ():to_s ()] = true
    end
    return known
  end

  local function import (stem, timed)
    local files = C.StringVector ()
    files:push_back (stem.path)
    -- "Latest" stands for the time reference of the file; without one it would be the playhead.
    local place = timed and Temporal.timepos_t.max (Temporal.TimeDomain.AudioTime)
      or Temporal.timepos_t (stem.position)
    Editor:do_import (files, Editing.ImportDistinctFiles, Editing.ImportAsTrack,
      ARDOUR.SrcQuality.SrcBest, ARDOUR.MidiTrackNameSource.SMFTrackName,
      ARDOUR.MidiTempoMapDisposition.SMFTempoIgnore, place, ARDOUR.PluginInfo (), ARDOUR.Track (),
      false)
  end

  -- Puts a region in order: fades off, since stems with fades do not add up, and at its place.
  local function settle (region, stem)
    local audio = region:to_audioregion ()
    if audio:isnil () then return "no audio came" end
    audio:set_fade_in_active (false)
    audio:set_fade_out_active (false)
    if region:position ():samples () ~= stem.position then
      region:set_position (Temporal.timepos_t (stem.position))
    end
    if region:length ():samples () ~= stem.length then
      return "it has another length than its file"
    end
  end

  -- Imports one stem onto a track of its own. Returns a reason when something is not as it should be.
  local function bring (plan, stem)
    local known, came = track_ids (), false
    import (stem, plan.timed)
    for route in Session:get_tracks ():iter () do
      if not known[route:to_stateful ():id ():to_s ()] then
        came = true
        route:set_name (plan.name .. " - " .. stem.name)
        for region in route:to_track ():playlist ():region_list ():iter () do
          local reason = settle (region, stem)
          if reason then return reason end
        end
      end
    end
    return not came and "Ardour did not import it" or nil
  end

  local function tell (text)
    LuaDialog.Message ("Stembridge", text, LuaDialog.MessageType.Warning,
      LuaDialog.ButtonType.Close):run ()
  end

  local waiting, ticks = {}, 0

  local function exported (path, start)
    local folder, out = expanded (params["folder"] or ""), expanded (params["out"] or "")
    local place = place_of (path, folder, out)
    if place then
      -- The stems of an earlier export of that name lie there until the new ones are whole.
      local before = content (place .. "/manifest.json")
      waiting[path] = { place = place, start = start, before = before, looks = 0 }
    end
  end

  local function look (path, one)
    one.looks = one.looks + 1
    local text = content (one.place .. "/manifest.json")
    if text and text ~= one.before then
      waiting[path] = nil
      local plan, reason = plan_of (text, one.place, path, one.start)
      if not plan then return tell (base_name (path) .. ": " .. reason) end
      for _, stem in ipairs (plan.stems) do
        reason = bring (plan, stem)
        if reason then tell (base_name (stem.path) .. ": " .. reason) end
      end
    elseif one.looks > LONGEST_LOOKS then
      waiting[path] = nil
      tell (base_name (path) .. ": no stems came; is `stembridge watch` running?")
    end
  end

  local function heard (signal, _, path, _, start)
    if signal == LuaSignal.Exported then
      exported (path, start)
    elseif signal == LuaSignal.LuaTimerDS and next (waiting) then
      ticks = ticks + 1
      if ticks % TICKS_BETWEEN_LOOKS ~= 0 then return end
      local now = {}
      for place, one in pairs (waiting) do now[place] = one end  -- it may change meanwhile
      for place, one in pairs (now) do look (place, one) end
    end
  end

  return function (signal, _, ...)
    local done, reason = pcall (heard, signal, ...)
    if not done then -- Ardour drops a hook that raises, without a word
      waiting = {}
      tell (tostring (reason))
    end
  end
end
