// What this process really uses, and what can be asked of the garbage collector: the facts, without a decision.
//
// A memory group of the system that limits this process is the best measure, because its kernel kills by it. What the
// kernel can take back by itself before it kills (cached files) is not counted. Without one, what is resident, or what
// the collector has committed, if that is more: pages that were swapped out or not touched yet will be wanted back.
// Only files are read. Measured costs: some 50 microseconds for a reading in a group, 10 outside of one.
// Must stay true: a reading is whole or an exception; Collect and LimitHeap are called under no lock.
using System.Globalization;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace MemoryGroups;

// Sizes in bytes. Limit: of the container; null when there is none. Allocated: on the managed heap since the process
// began. Collections: full ones until now. Slack: what the collector keeps committed beyond what was alive when it last
// looked.
internal readonly record struct ProcessReading(
    long Measured, long? Limit, long Allocated, int Collections, long Slack);

internal abstract class ProcessMemory
{
    internal abstract ProcessReading Read();

    // Aggressive: stops the process while it runs, and gives pages back to the operating system; no other kind does.
    internal abstract void Collect(bool aggressive);

    // Null: no limit of ours. False when more than that is committed: the collector keeps the limit it had.
    internal abstract bool TryLimitHeap(long? bytes);
}

internal sealed class OwnProcess : ProcessMemory
{
    private const string HeapLimit = "GCHeapHardLimit";

    private readonly ContainerLimit? _container = ContainerLimit.Find("/");

    private OwnProcess()
    {
    }

    // The files are looked for once, when somebody first wants to know.
    internal static OwnProcess Shared => Once.Instance;

    internal override ProcessReading Read()
    {
        GCMemoryInfo info = GC.GetGCMemoryInfo();
        long? limit = _container?.ReadLimit();
        long measured = limit is null
            ? Math.Max(ReadResident(), info.TotalCommittedBytes)
            : _container!.ReadMeasured();
        return new ProcessReading(
            measured,
            limit,
            GC.GetTotalAllocatedBytes(precise: false),
            GC.CollectionCount(GC.MaxGeneration),
            Math.Max(0, info.TotalCommittedBytes - (info.HeapSizeBytes - info.FragmentedBytes)));
    }

    internal override void Collect(bool aggressive)
    {
        if (aggressive)
        {
            GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        }
        else
        {
            GC.Collect(GC.MaxGeneration, GCCollectionMode.Forced, blocking: false);
        }
    }

    internal override bool TryLimitHeap(long? bytes)
    {
        object? before = AppContext.GetData(HeapLimit);
        AppContext.SetData(HeapLimit, bytes is { } limit ? (ulong)limit : null);
        try
        {
            GC.RefreshMemoryLimit();
            return true;
        }
        catch (InvalidOperationException)
        {
            // Else the next refresh, whoever asks for it, would fail as well.
            AppContext.SetData(HeapLimit, before);
            return false;
        }
    }

    private static class Once
    {
        internal static readonly OwnProcess Instance = new();
    }

    private static long ReadResident()
    {
        if (!OperatingSystem.IsLinux())
        {
            return Environment.WorkingSet;
        }

        string text = SmallFile.Read("/proc/self/statm");
        string[] pages = text.Split(' ');
        return pages.Length > 1 && long.TryParse(pages[1], CultureInfo.InvariantCulture, out long resident)
            ? resident * PageMemory.PageSize
            : throw new IOException($"/proc/self/statm holds '{text}', without the number of resident pages.");
    }
}

// Files of the kernel: some hundred bytes, made when they are read. Without the buffers that a stream would bring.
internal static class SmallFile
{
    private const int Longest = 8192;

    internal static string Read(string path)
    {
        using SafeFileHandle file = File.OpenHandle(path);
        Span<byte> bytes = stackalloc byte[Longest];
        int length = 0;
        int read;
        do
        {
            read = RandomAccess.Read(file, bytes[length..], length);
            length += read;
        }
        while (read > 0 && length < Longest);
        return Encoding.ASCII.GetString(bytes[..length]);
    }
}
