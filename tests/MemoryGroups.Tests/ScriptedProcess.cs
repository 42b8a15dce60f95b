// A process whose measurements are what a test says, and a garbage collector that does what a test says.
namespace MemoryGroups.Tests;

internal sealed class ScriptedProcess : ProcessMemory
{
    public long Measured { get; set; }

    public long? Limit { get; set; }

    public long Allocated { get; set; }

    public int Collections { get; set; }

    public long Slack { get; set; }

    // What a heap limit must not be below.
    public long Committed { get; set; }

    public bool Fails { get; set; }

    public Action<bool>? OnCollect { get; set; }

    public Action? OnRead { get; set; }

    public Action? OnLimitHeap { get; set; }

    public int Reads { get; private set; }

    public List<bool> Collected { get; } = [];

    public List<long?> HeapLimits { get; } = [];

    // Counts against a capacity of 1000 bytes unless the test says otherwise.
    public World NewWorld(long capacity = 1000, Func<MemoryRootOptions, MemoryRootOptions>? configure = null) =>
        new(capacity, options =>
        {
            options = options with { ProcessHook = this, CountUnattributed = true };
            return configure is null ? options : configure(options);
        });

    internal override ProcessReading Read()
    {
        Reads++;
        OnRead?.Invoke();
        return Fails
            ? throw new IOException("the files have gone")
            : new ProcessReading(Measured, Limit, Allocated, Collections, Slack);
    }

    internal override void Collect(bool aggressive)
    {
        Collected.Add(aggressive);
        OnCollect?.Invoke(aggressive);
    }

    internal override bool TryLimitHeap(long? bytes)
    {
        OnLimitHeap?.Invoke();
        HeapLimits.Add(bytes);
        return !(bytes < Committed);
    }
}
