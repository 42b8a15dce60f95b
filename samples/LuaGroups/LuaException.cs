// An error of a script, in its own words or in Lua's.

namespace LuaGroups;

/// <summary>A script failed.</summary>
/// <remarks>Thread safety: immutable.</remarks>
public sealed class LuaException : Exception
{
    /// <summary>Makes an exception without text.</summary>
    public LuaException()
    {
    }

    /// <summary>Makes an exception.</summary>
    /// <param name="message">What happened.</param>
    public LuaException(string message)
        : base(message)
    {
    }

    /// <summary>Makes an exception.</summary>
    /// <param name="message">What happened.</param>
    /// <param name="inner">What it happened of.</param>
    public LuaException(string message, Exception? inner)
        : base(message, inner)
    {
    }

    /// <summary>True if Lua found no memory for the script.</summary>
    public bool IsOutOfMemory { get; init; }
}
