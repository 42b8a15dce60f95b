// The table: against a dictionary at random, and found by readers at every moment while it grows and shrinks.

namespace MemoryGroups.Caching.Tests;

public sealed class EntryTableTests
{
    [Theory]
    [InlineData(1, 50)]
    [InlineData(2, 5000)]
    public void Random_use_is_as_that_of_a_dictionary(int seed, int keys)
    {
        var random = new Random(seed);
        var table = new EntryTable<int, int>(null);
        var expected = new Dictionary<int, CacheNode<int, int>>();
        for (int i = 0; i < 50_000; i++)
        {
            // Long runs of one kind: it grows and shrinks.
            bool adds = random.Next(100) < ((i / 5000) % 2 == 0 ? 80 : 20);
            int key = random.Next(keys) << 12;
            EntryTable<int, int>.Sighting seen = table.Look(key, table.HashOf(key));
            Assert.True(table.IsCurrent(seen, table.HashOf(key)));
            Assert.Same(expected.GetValueOrDefault(key), seen.Node);
            Assert.Same(seen.Node, table.Find(key, table.HashOf(key)));
            if (adds && seen.Node is null)
            {
                var node = new CacheNode<int, int>(key, i, 1, table.HashOf(key));
                table.Add(node);
                expected.Add(key, node);
                Assert.False(table.IsCurrent(seen, table.HashOf(key)), $"seed {seed}, step {i}");
            }
            else if (!adds && seen.Node is not null)
            {
                table.Remove(seen.Node);
                expected.Remove(key);
            }
        }

        Assert.All(expected, pair => Assert.Same(pair.Value, table.Find(pair.Key, table.HashOf(pair.Key))));
    }

    // Its chain still begins as it did.
    [Fact]
    public void Sighting_of_an_entry_that_has_left_is_out_of_date()
    {
        const int Hash = 7;
        var table = new EntryTable<int, int>(null);
        CacheNode<int, int> first = new(1, 1, 1, Hash), second = new(2, 2, 1, Hash);
        table.Add(first);
        table.Add(second);
        EntryTable<int, int>.Sighting seen = table.Look(1, Hash);
        Assert.True(seen.Node == first && seen.First == second && table.IsCurrent(seen, Hash));

        table.Remove(first);
        first.Place = CachePlace.Gone;

        Assert.False(table.IsCurrent(seen, Hash));
    }

    // While the reader is at the first entry of the chain: the new one comes in before it, then the old one leaves.
    [Fact]
    public void Reader_finds_an_entry_that_is_replaced_behind_it()
    {
        const int Hash = 7;
        var comparer = new Interrupted();
        var table = new EntryTable<int, int>(comparer);
        CacheNode<int, int> old = new(1, 1, 1, Hash), other = new(2, 2, 1, Hash), fresh = new(1, 3, 1, Hash);
        table.Add(old);
        table.Add(other);
        comparer.Once = () =>
        {
            table.Add(fresh);
            table.Remove(old);
        };

        Assert.Same(fresh, table.Find(1, Hash));
    }

    // Keys that stay are found by everybody at every moment; the writer makes the table grow and shrink around them.
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Readers_find_what_stays_while_the_table_changes(int seed)
    {
        const int Staying = 100;

        // Some keys of each hash code stay: a chain that breaks off for a moment is a miss.
        const int HashCodes = 25;
        var table = new EntryTable<int, int>(null);
        for (int key = 0; key < Staying; key++)
        {
            table.Add(new CacheNode<int, int>(key, key, 1, key % HashCodes));
        }

        bool isOver = false;
        int missed = 0;
        Thread[] readers = [.. Enumerable.Range(0, 3).Select(reader => new Thread(() =>
        {
            var random = new Random((seed * 10) + reader);
            while (!Volatile.Read(ref isOver))
            {
                int key = random.Next(Staying);
                if (table.Find(key, key % HashCodes)?.Value != key)
                {
                    Interlocked.Increment(ref missed);
                }
            }
        }))];
        Array.ForEach(readers, static reader => reader.Start());
        for (int round = 0; round < 100; round++)
        {
            CacheNode<int, int>[] passing = [.. Enumerable.Range(Staying, 3000)
                .Select(static key => new CacheNode<int, int>(key, key, 1, key % HashCodes))];
            Array.ForEach(passing, table.Add);
            Array.ForEach(passing, table.Remove);
        }

        Volatile.Write(ref isOver, true);
        Array.ForEach(readers, static reader => Assert.True(reader.Join(CacheScene.Deadline), "a reader hangs"));
        Assert.True(missed == 0, $"seed {seed}: missed {missed} times");
    }

    // Something happens during the first comparison.
    private sealed class Interrupted : IEqualityComparer<int>
    {
        public Action? Once { get; set; }

        public bool Equals(int x, int y)
        {
            Action? happens = Once;
            Once = null;
            happens?.Invoke();
            return x == y;
        }

        public int GetHashCode(int obj) => obj;
    }
}
