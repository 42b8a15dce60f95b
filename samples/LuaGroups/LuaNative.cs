// The functions of Lua 5.4's C API that are used here. The library is the one in the package KeraLua.
//
// Lua reports errors by longjmp, which must not pass a managed frame. So: everything that may fail runs inside
// lua_pcall; outside of it the allocator refuses nothing (LuaAccount), which leaves no error to report; and the hook
// that ends a script is a function of Lua itself.

using System.Runtime.InteropServices;

namespace LuaGroups;

internal static unsafe partial class LuaNative
{
    internal const string Library = "lua54";
    internal const int Ok = 0;
    internal const int OutOfMemory = 4;
    internal const int AllResults = -1;
    internal const int MaskCount = 8;
    internal const int Collect = 2;

    internal const int Nil = 0;
    internal const int Boolean = 1;
    internal const int Number = 3;
    internal const int Text = 4;

    private static readonly nint Loaded = NativeLibrary.Load(Library, typeof(LuaNative).Assembly, null);

    // luaL_error(state, format), as a hook. A hook's second argument is a lua_Debug whose first field is the event, an
    // integer of one byte's size: read as a format it is a text of one odd character and no directives. So the engine
    // raises the error by itself, at the instruction that the hook was called for.
    internal static nint RaiseError { get; } = NativeLibrary.GetExport(Loaded, "luaL_error");

    internal static nint Export(string name) => NativeLibrary.GetExport(Loaded, name);

    [LibraryImport(Library, EntryPoint = "lua_newstate")]
    internal static partial nint NewState(
        delegate* unmanaged[Cdecl]<void*, void*, nuint, nuint, void*> allocate, void* argument);

    [LibraryImport(Library, EntryPoint = "lua_close")]
    internal static partial void Close(nint state);

    [LibraryImport(Library, EntryPoint = "luaL_requiref", StringMarshalling = StringMarshalling.Utf8)]
    internal static partial void Require(nint state, string name, nint open, int global);

    [LibraryImport(Library, EntryPoint = "luaL_loadbufferx", StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int Load(nint state, byte* text, nuint bytes, string name, string mode);

    [LibraryImport(Library, EntryPoint = "lua_pcallk")]
    internal static partial int Call(
        nint state, int arguments, int results, int handler, nint context, nint continuation);

    [LibraryImport(Library, EntryPoint = "lua_sethook")]
    internal static partial void SetHook(nint state, nint hook, int mask, int count);

    [LibraryImport(Library, EntryPoint = "lua_gc")]
    internal static partial int CollectGarbage(nint state, int what, int argument);

    [LibraryImport(Library, EntryPoint = "lua_gettop")]
    internal static partial int Top(nint state);

    [LibraryImport(Library, EntryPoint = "lua_settop")]
    internal static partial void SetTop(nint state, int top);

    [LibraryImport(Library, EntryPoint = "lua_type")]
    internal static partial int TypeOf(nint state, int index);

    [LibraryImport(Library, EntryPoint = "lua_isinteger")]
    internal static partial int IsInteger(nint state, int index);

    [LibraryImport(Library, EntryPoint = "lua_toboolean")]
    internal static partial int ToBoolean(nint state, int index);

    [LibraryImport(Library, EntryPoint = "lua_tointegerx")]
    internal static partial long ToInteger(nint state, int index, int* isNumber);

    [LibraryImport(Library, EntryPoint = "lua_tonumberx")]
    internal static partial double ToNumber(nint state, int index, int* isNumber);

    [LibraryImport(Library, EntryPoint = "lua_tolstring")]
    internal static partial byte* ToText(nint state, int index, nuint* bytes);
}
