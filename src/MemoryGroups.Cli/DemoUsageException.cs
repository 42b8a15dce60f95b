// Thrown for what the person who typed the command can put right: a bad option, a folder that cannot be written, a
// native library that is not there. Program prints the message as one line and exits with code 2, without a stack
// trace; anything else that escapes is a defect of this program and shows its stack.

namespace MemoryGroups.Cli;

internal sealed class DemoUsageException : Exception
{
    internal DemoUsageException(string message, Exception? inner = null)
        : base(message, inner)
    {
    }
}
