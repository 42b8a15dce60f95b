// How wide the terminal is. Asked anew each time: it can be resized. A terminal that does not tell (a serial line, some
// recorders say 0) counts as the usual one.

namespace MemoryGroups.Cli;

internal static class TerminalWidth
{
    private const int Usual = 80;

    internal static int Current => Console.WindowWidth is > 0 and var width ? width : Usual;
}
