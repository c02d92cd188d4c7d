-- Every function of REAPER's API that the script uses, as its documentation declares them for Lua
-- (Help > ReaScript documentation, REAPER 6 and 7), and the names of the values that it uses.

local api = {}

api.functions = {
  "MediaItem AddMediaItemToTrack(MediaTrack tr)",
  "MediaItem_Take AddTakeToMediaItem(MediaItem item)",
  "integer CountSelectedMediaItems(ReaProject proj)",
  "integer CountTrackMediaItems(MediaTrack track)",
  "integer CountTracks(ReaProject proj)",
  "ReaProject EnumProjects(integer idx)",
  "MediaItem_Take GetActiveTake(MediaItem item)",
  "boolean GetAudioDeviceInfo(string attribute)",
  "string GetExtState(string section, string key)",
  "number GetMediaItemInfo_Value(MediaItem item, string parmname)",
  "MediaTrack GetMediaItem_Track(MediaItem item)",
  "number GetMediaTrackInfo_Value(MediaTrack tr, string parmname)",
  "string GetOS()",
  "string GetProjectName(ReaProject proj)",
  "number GetProjectTimeOffset(ReaProject proj, boolean rndframe)",
  "MediaItem GetSelectedMediaItem(ReaProject proj, integer selitem)",
  "number GetSetProjectInfo(ReaProject project, string desc, number value, boolean is_set)",
  "boolean GetSetProjectInfo_String(ReaProject project, string desc, string valuestrNeedBig, boolean is_set)",
  "boolean GetSetMediaItemTakeInfo_String(MediaItem_Take tk, string parmname, string stringNeedBig, boolean setNewValue)",
  "boolean GetSetMediaTrackInfo_String(MediaTrack tr, string parmname, string stringNeedBig, boolean setNewValue)",
  "number GetSet_LoopTimeRange2(ReaProject proj, boolean isSet, boolean isLoop, number start, number end, boolean allowautoseek)",
  "string GetTakeName(MediaItem_Take take)",
  "MediaTrack GetTrack(ReaProject proj, integer trackidx)",
  "MediaItem GetTrackMediaItem(MediaTrack tr, integer itemidx)",
  "boolean GetUserInputs(string title, integer num_inputs, string captions_csv, string retvals_csv)",
  "nothing InsertTrackAtIndex(integer idx, boolean wantDefaults)",
  "nothing Main_OnCommand(integer command, integer flag)",
  "PCM_source PCM_Source_CreateFromFile(string filename)",
  "nothing PreventUIRefresh(integer prevent_count)",
  "nothing SetExtState(string section, string key, string value, boolean persist)",
  "boolean SetMediaItemInfo_Value(MediaItem item, string parmname, number newvalue)",
  "boolean SetMediaItemTake_Source(MediaItem_Take take, PCM_source source)",
  "boolean SetMediaTrackInfo_Value(MediaTrack tr, string parmname, number newvalue)",
  "integer ShowMessageBox(string msg, string title, integer type)",
  "nothing Undo_BeginBlock()",
  "nothing Undo_EndBlock(string descchange, integer extraflags)",
  "nothing UpdateArrange()",
  "boolean ValidatePtr(identifier pointer, string ctypename)",
  "nothing defer(function function)",
  "boolean file_exists(string path)",
  "number time_precise()",
}

-- name = what a project has before the script comes, chosen so that a forgotten one shows
api.project_numbers = {
  RENDER_SETTINGS = 1, RENDER_BOUNDSFLAG = 3, RENDER_CHANNELS = 6, RENDER_SRATE = 96000,
  RENDER_STARTPOS = 1.5, RENDER_ENDPOS = 2.5, RENDER_TAILFLAG = 18, RENDER_TAILMS = 1000,
  RENDER_ADDTOPROJ = 1, RENDER_DITHER = 3, RENDER_NORMALIZE = 1,
  PROJECT_SRATE = 44100, PROJECT_SRATE_USE = 1,
}
api.project_strings = {
  RENDER_FILE = "/renders", RENDER_PATTERN = "$project-$region", RENDER_FORMAT = "bDNwbUABAAA=",
  RENDER_FORMAT2 = "Y2FsZhAAAAA=", RENDER_TARGETS = "",
}
api.item_values = {
  D_POSITION = 0, D_LENGTH = 0, D_FADEINLEN = 0.01, D_FADEOUTLEN = 0.01, D_FADEINLEN_AUTO = 0.01,
  D_FADEOUTLEN_AUTO = 0.01, B_LOOPSRC = 1, B_MUTE = 0, C_BEATATTACHMODE = -1,
}
api.track_values = { I_FOLDERDEPTH = 0, B_MUTE = 0, IP_TRACKNUMBER = 0 }

local function parse(declaration)
  local name, arguments = declaration:match("^%S+ ([%w_]+)%((.*)%)$")
  local types = {}
  for kind in arguments:gmatch("([%w_]+) [%w_]+") do types[#types + 1] = kind end
  return name, types
end

api.arguments = {}
for _, declaration in ipairs(api.functions) do
  local name, types = parse(declaration)
  api.arguments[name] = types
end

return api
