-- What a user does in Ardour's window, as a hook: exports, mutes, exports again. See
-- test_ardour_window.py. Everything that matters goes into a file, a line each.

ardour { ["type"] = "EditorHook", name = "a user" }

function factory (params)

  local function tell (...)
    local fields = {}
    for _, value in ipairs ({ ... }) do fields[#fields + 1] = tostring (value) end
    local file = io.open (params["log"], "a")
    file:write (table.concat (fields, "\t"), "\n")
    file:close ()
  end

  local function export (folder, name, from, length)
    local one = Session:simple_export ()
    one:set_preset (params["preset"])
    one:set_folder (folder)
    one:set_name (name)
    one:set_range (from, from + length)
    tell ("export", name, one:run_export ())
  end

  local function tracks ()
    local found = {}
    for route in Session:get_tracks ():iter () do found[#found + 1] = route end
    return found
  end

  local function tell_regions (what)
    for _, route in ipairs (tracks ()) do
      for region in route:to_track ():playlist ():region_list ():iter () do
        local audio = region:to_audioregion ()
        tell (what, route:name (), region:position ():samples (), region:length ():samples (),
          audio:fade_in_active () or audio:fade_out_active ())
      end
    end
  end

  local function mute (on)
    tracks ()[1]:mute_control ():set_value (on, PBD.GroupControlDisposition.NoGroup)
  end

  -- Each returns true when it is done; the next one comes a second later.
  local steps = {
    function ()
      -- The playhead is where nothing belongs.
      Session:request_locate (12345, false, ARDOUR.LocateTransportDisposition.MustStop,
        ARDOUR.TransportRequestSource.TRS_UI)
      export (params["bounces"], "Mix 3", 96123, 50001)
      return true
    end,
    function () return #tracks () == 3 end,
    function () tell_regions ("first"); mute (1); return true end,
    function () export (params["aside"], "again", 96123, 50001); return true end,
    function () mute (0); export (params["bounces"], "Start", 0, 30000); return true end,
    function () return #tracks () == 5 end,
    function () tell_regions ("second"); tell ("done"); return true end,
  }
  local ticks, step = 0, 1

  return function (signal)
    if signal ~= LuaSignal.LuaTimerDS then return end
    ticks = ticks + 1
    if ticks % 10 ~= 0 or ticks < 30 or not steps[step] then return end
    local done, result = pcall (steps[step])
    if not done then tell ("error", result) end
    if not done or result then step = step + 1 end
  end
end
