// An error that the engine reports. Two kinds of it are told apart, because something can be done about them: there was
// no memory within the engine's limit, and somebody interrupted the statement.

using System.Runtime.InteropServices;

namespace DuckDbGroups;

/// <summary>An error of DuckDB, in its own words.</summary>
/// <remarks>Thread safety: immutable.</remarks>
public sealed class DuckDbException : Exception
{
    /// <summary>Makes an exception without text.</summary>
    public DuckDbException()
    {
    }

    /// <summary>Makes an exception.</summary>
    /// <param name="message">What happened.</param>
    public DuckDbException(string message)
        : base(message)
    {
    }

    /// <summary>Makes an exception.</summary>
    /// <param name="message">What happened.</param>
    /// <param name="inner">What it happened of.</param>
    public DuckDbException(string message, Exception? inner)
        : base(message, inner)
    {
    }

    /// <summary>True if the engine found no memory within its limit.</summary>
    public bool IsOutOfMemory { get; private init; }

    /// <summary>True if the statement was interrupted, or not begun because it was to be.</summary>
    public bool IsInterrupt { get; private init; }

    internal static DuckDbException Stopped =>
        new("The statement was interrupted before it began.") { IsInterrupt = true };

    internal static DuckDbException Of(ref DuckDbResult result)
    {
        int type = DuckDbNative.ResultErrorType(ref result);
        return new DuckDbException(TextAt(DuckDbNative.ResultError(ref result)))
        {
            IsOutOfMemory = type == DuckDbNative.OutOfMemoryError,
            IsInterrupt = type == DuckDbNative.InterruptError,
        };
    }

    // Preparing tells no kind, only words.
    internal static DuckDbException OfText(nint text)
    {
        string words = TextAt(text);
        return new DuckDbException(words)
        {
            IsOutOfMemory = words.StartsWith("Out of Memory", StringComparison.OrdinalIgnoreCase),
            IsInterrupt = words.StartsWith("Interrupt", StringComparison.OrdinalIgnoreCase),
        };
    }

    // The query's own code stands between the engine and us and may have wrapped it.
    internal static DuckDbException? In(Exception? error)
    {
        while (error is not null and not DuckDbException) error = error.InnerException;
        return (DuckDbException?)error;
    }

    private static string TextAt(nint text) =>
        Marshal.PtrToStringUTF8(text) is { Length: > 0 } words ? words : "DuckDB failed without saying why.";
}
