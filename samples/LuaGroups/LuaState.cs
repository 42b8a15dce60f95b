// One state of the engine with its allocator, its libraries and its hook. Knows how to run a text and read what it
// returns; who may do that when is LuaSession's business.
//
// A kill cannot be caught: the hook, once it finds the order to stop, has Lua raise an error before every further
// instruction, so whatever a pcall returns to ends too. A coroutine takes its creator's hook. Scripts get no library
// that reaches outside or could take the hook away (io, os, package, debug), no binary chunks, and no finalizers: hooks
// do not run in those, so nothing could end one.
//
// Must stay true: a state is used by one thread at a time; between Run and its end nothing but the engine is on the
// stack above Lua's frames.

using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;

namespace LuaGroups;

internal sealed unsafe class LuaState : IDisposable
{
    private const int LookEvery = 1000;
    private const string Prelude =
        """
        load, loadfile, dofile, collectgarbage = nil, nil, nil, nil
        string.dump = nil
        local set, raw, kind = setmetatable, rawget, type
        setmetatable = function(value, meta)
            if kind(meta) == 'table' and raw(meta, '__gc') ~= nil then error('scripts have no finalizers', 2) end
            return set(value, meta)
        end
        """;
    private static readonly string[] Libraries = ["_G", "coroutine", "table", "string", "math", "utf8"];

    // For the hook, which is told the state of a coroutine and nothing else.
    [ThreadStatic]
    private static LuaAccount? _running;

    private readonly LuaAccount _account;
    private readonly GCHandle _handle;
    private nint _state;

    // Nothing is refused here: see LuaNative. It is some 25 KB.
    internal LuaState(LuaAccount account)
    {
        _account = account;
        _handle = GCHandle.Alloc(account);
        _state = LuaNative.NewState(LuaAccount.Allocator, (void*)GCHandle.ToIntPtr(_handle));
        if (_state == 0)
        {
            _handle.Free();
            throw new LuaException("Lua could not make a state: the machine is out of memory.");
        }

        foreach (string library in Libraries)
        {
            string open = "luaopen_" + (library == "_G" ? "base" : library);
            LuaNative.Require(_state, library, LuaNative.Export(open), 1);
        }

        LuaNative.SetTop(_state, 0);
        Run("prelude", Prelude, mayRefuse: false);
    }

    // Throws LuaException. Whether that was a stop is for the caller to say.
    internal object?[] Run(string name, string script, bool mayRefuse = true)
    {
        byte[] text = Encoding.UTF8.GetBytes(script);
        LuaAccount? outer = _running;
        _running = _account;
        _account.MayRefuse = mayRefuse;
        int result;
        try
        {
            LuaNative.SetHook(
                _state, (nint)(delegate* unmanaged[Cdecl]<nint, nint, void>)&OnCount, LuaNative.MaskCount, LookEvery);
            fixed (byte* start = text)
            {
                result = LuaNative.Load(_state, start, (nuint)text.Length, "=" + name, "t");
            }

            if (result == LuaNative.Ok)
                result = LuaNative.Call(_state, 0, LuaNative.AllResults, 0, 0, 0);
        }
        finally
        {
            _account.MayRefuse = false;
            _running = outer;
        }

        object?[] values;
        try
        {
            values = [.. Enumerable.Range(1, LuaNative.Top(_state)).Select(ValueAt)];
        }
        finally
        {
            // Also when a text is too long for .NET: the next script would return what lies here before its own.
            LuaNative.SetTop(_state, 0);
        }

        if (result == LuaNative.Ok) return values;

        // What the script has left behind is garbage, and counts until it is collected.
        Collect();
        throw new LuaException(values.LastOrDefault()?.ToString() ?? "The script failed without saying why.")
        {
            IsOutOfMemory = result == LuaNative.OutOfMemory,
        };
    }

    internal void Collect() => _ = LuaNative.CollectGarbage(_state, LuaNative.Collect, 0);

    public void Dispose()
    {
        if (_state == 0) return;
        LuaNative.Close(_state);
        _state = 0;
        _handle.Free();
    }

    // Tables and functions stay in the state: only their kind is told.
    private object? ValueAt(int index)
    {
        switch (LuaNative.TypeOf(_state, index))
        {
            case LuaNative.Nil:
                return null;
            case LuaNative.Boolean:
                return LuaNative.ToBoolean(_state, index) != 0;
            case LuaNative.Number when LuaNative.IsInteger(_state, index) != 0:
                return LuaNative.ToInteger(_state, index, null);
            case LuaNative.Number:
                return LuaNative.ToNumber(_state, index, null);
            case LuaNative.Text:
                nuint bytes;
                byte* text = LuaNative.ToText(_state, index, &bytes);
                return Encoding.UTF8.GetString(text, (int)bytes);
            default:
                return "(not a plain value)";
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void OnCount(nint state, nint what)
    {
        LuaAccount account = _running!;
        if (!account.IsStopped) account.KeepAhead();
        if (account.IsStopped) LuaNative.SetHook(state, LuaNative.RaiseError, LuaNative.MaskCount, 1);
    }
}
