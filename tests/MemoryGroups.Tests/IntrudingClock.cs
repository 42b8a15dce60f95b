// A clock that lets a test in where the library asks for the time: inside a move, when the pressure of both groups is
// counted, or when a pressure is made.
namespace MemoryGroups.Tests;

internal sealed class IntrudingClock : TimeProvider
{
    internal Action? Asked { get; set; }

    public override long GetTimestamp()
    {
        Asked?.Invoke();
        return base.GetTimestamp();
    }
}
