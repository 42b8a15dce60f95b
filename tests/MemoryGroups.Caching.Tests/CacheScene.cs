// A root, a group with a limit, and a member for a cache in it; at the end nothing is charged any more.
//
// Real threads and no virtual clock: a synchronous charge runs reclaimers on its own thread, which is all that most
// tests need; what happens on the thread pool is waited for, up to a deadline that only a bug reaches.
namespace MemoryGroups.Caching.Tests;

internal sealed class CacheScene : IDisposable
{
    internal static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    // Every charge is exact at every moment.
    internal CacheScene(long max = long.MaxValue, long high = long.MaxValue)
    {
        Group = Root.CreateGroup("tenant", new MemoryGroupOptions { Max = max, High = high, BatchBytes = 1 });
        Member = Group.CreateMember("cache");
    }

    // A busy machine makes reclaimers late; given up is another matter than what is tested here.
    internal MemoryRoot Root { get; } = new(
        new MemoryRootOptions { RecursiveProtection = false, ReclaimDeadline = Deadline });

    internal MemoryGroup Group { get; }

    internal MemoryMember Member { get; }

    // Entries of so many bytes each, all told; the key is the value.
    internal ChargedCache<int, int> NewCache(int entryBytes, long maxBytes = MemoryMember.MaxChargeBytes) =>
        new(Member, new ChargedCacheOptions<int, int>
        {
            SizeOf = (_, _) => entryBytes - ChargedCache<int, int>.EntryOverheadBytes,
            MaxBytes = maxBytes,
        });

    internal static void Fill(ChargedCache<int, int> cache, int count, int from = 0)
    {
        for (int key = from; key < from + count; key++)
        {
            Assert.True(cache.Set(key, key), $"entry {key} does not fit");
        }
    }

    // Runs after everything that was registered on the token later than this.
    internal static Task AfterAsync(CancellationToken token)
    {
        var source = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        token.UnsafeRegister(static source => ((TaskCompletionSource)source!).SetResult(), source);
        return source.Task.WaitAsync(Deadline, TimeProvider.System, TestContext.Current.CancellationToken);
    }

    public void Dispose()
    {
        Root.Dispose();
        Assert.Equal(0, Root.Usage);
        Assert.True(Root.BooksErrorCount == 0, Root.FirstBooksError);
    }
}
