// Where DuckDB's native library is. It is no package of .NET here: whoever deploys puts it beside the program, and a
// clone keeps one copy for all its programs in artifacts/native, fetched by eng/prepare.sh with its version and digest
// pinned there. What is missing is said once, in words that say what to do, before anything else fails of it.

using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace DuckDbGroups;

/// <summary>DuckDB's native library: whether it is there, and which one it is.</summary>
/// <remarks>Thread safety: all members may be used from any thread.</remarks>
public static class DuckDbLibrary
{
    private const string FileName = "libduckdb.so";

    private static readonly Lazy<nint> Loaded = new(Load);

    /// <summary>True if it was found and can be loaded on this platform.</summary>
    public static bool IsAvailable => Loaded.Value != 0;

    /// <summary>What is missing and what to do about it, for whoever asked for DuckDB.</summary>
    public static string Problem =>
        $"DuckDB's native library ({FileName}) is not beside the program, or not made for "
        + $"{RuntimeInformation.RuntimeIdentifier}. In a clone on Linux x64 ./test and "
        + "'./memgroups demo --engine duckdb' fetch it with npm, which needs the network once.";

    /// <summary>The version of the engine, such as v1.5.6.</summary>
    /// <exception cref="DllNotFoundException">The library is not there.</exception>
    public static string Version => Marshal.PtrToStringUTF8(DuckDbNative.LibraryVersion()) ?? string.Empty;

    // Before the first call into the library, whoever makes it.
#pragma warning disable CA2255 // the one place that knows where the library is; nothing here runs user code or can fail
    [ModuleInitializer]
    internal static void Register() => NativeLibrary.SetDllImportResolver(
        typeof(DuckDbLibrary).Assembly,
        static (name, _, _) => name != DuckDbNative.Library ? 0
            : IsAvailable ? Loaded.Value
            : throw new DllNotFoundException(Problem));
#pragma warning restore CA2255

    private static nint Load()
    {
        string program = AppContext.BaseDirectory;
        string[] places = [program, Path.Combine(program, "..", "..", "..", "native", "duckdb")];
        foreach (string folder in places)
        {
            if (NativeLibrary.TryLoad(Path.Combine(folder, FileName), out nint library)) return library;
        }

        return NativeLibrary.TryLoad(DuckDbNative.Library, Assembly.GetExecutingAssembly(), null, out nint installed)
            ? installed
            : 0;
    }
}
