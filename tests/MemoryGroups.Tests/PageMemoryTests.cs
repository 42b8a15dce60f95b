// Pages of the operating system and the stores above them: what is mapped for whom, and what is given back.
namespace MemoryGroups.Tests;

[Collection("buffers")]
public sealed class PageMemoryTests
{
    private const long Huge = PageMemory.HugePage;

    private static readonly long Page = PageMemory.PageSize;

    [Fact]
    public void Size_is_rounded_up_to_whole_pages_and_no_further()
    {
        Assert.Equal(Page, PageMemory.RoundUp(1));
        Assert.Equal(Page, PageMemory.RoundUp(Page));
        Assert.Equal(2 * Page, PageMemory.RoundUp(Page + 1));
    }

    [Fact]
    public void Range_takes_no_more_address_space_than_its_alignment_needs()
    {
        foreach ((long bytes, long alignment, long mapped) in ((long, long, long)[])[
            (Page, 16, Page),
            (Huge - Page, Page, Huge - Page),
            (8 * Page, 2 * Page, 10 * Page),
            (Huge, 16, 2 * Huge),
            (Huge + Page, 16, (2 * Huge) + Page)])
        {
            PageRange range = PageMemory.Map(bytes, alignment);
            PageMemory.Unmap(range);

            Assert.Equal((bytes, mapped), (range.Bytes, range.MappedBytes));
            Assert.Equal(0, range.Address % (bytes >= Huge ? Huge : Math.Max(alignment, Page)));
            Assert.InRange(range.Address, range.Base, range.Base + mapped - bytes);
        }
    }

    [Fact]
    public void Refusal_of_the_operating_system_says_how_much_was_asked_for_and_its_error()
    {
        InsufficientMemoryException error =
            Assert.Throws<InsufficientMemoryException>(() => PageMemory.Map(1L << 62, 16));

        Assert.Matches(
            $@"^The operating system has no {(1L << 62) + Huge} bytes of address space for a buffer "
            + @"\(error [1-9]\d*\)\.$",
            error.Message);
    }

    [Fact]
    public void Buffer_that_was_refused_by_the_system_counts_nowhere()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("m");
        MemoryBuffer small = member.Allocate(100);
        nint slab = small.Block.Slab!.Address;
        Assert.Throws<InsufficientMemoryException>(() =>
        {
            for (int count = 0; count < 1000; count++)
            {
                member.Allocate(MemoryMember.MaxBufferBytes);
            }
        });

        member.Dispose();
        GC.Collect();
        GC.WaitForPendingFinalizers();
        small.Dispose();

        Assert.True(StoredSlabs.Contain(slab));
    }

    [Fact]
    public void Store_gives_a_slab_to_one_only_and_the_latest_that_came_back_first()
    {
        // More than one region has.
        nint[] slabs = [.. Enumerable.Range(0, 200).Select(static _ => SlabStore.Take())];

        Assert.Equal(slabs.Length, slabs.Distinct().Count());
        Assert.All(slabs, static slab => Assert.Equal(0, slab % SlabStore.SlabBytes));
        nint[] sorted = [.. slabs.Order()];
        Assert.All(
            sorted.Zip(sorted.Skip(1)),
            static pair => Assert.True(pair.Second - pair.First >= SlabStore.SlabBytes, "slabs overlap"));

        Array.ForEach(slabs, SlabStore.Return);

        // On top may lie what finalizers brought back meanwhile.
        var taken = new Stack<nint>([SlabStore.Take()]);
        while (!slabs.Contains(taken.Peek()) && taken.Count < slabs.Length)
        {
            taken.Push(SlabStore.Take());
        }

        Assert.Equal(slabs[^1], taken.Peek());
        Array.ForEach([.. taken], SlabStore.Return);
    }

    // Found by the space between them: a region is sixteen megabytes.
    [Fact]
    public void Region_is_cut_into_slabs_completely_before_the_next_one_is_mapped()
    {
        nint[] slabs = [.. Enumerable.Range(0, 400).Select(static _ => SlabStore.Take())];

        int[] sizes = [.. slabs.CountBy(static slab => slab / (16 << 20)).Select(static one => one.Value)];
        Array.ForEach(slabs, SlabStore.Return);

        Assert.InRange(sizes.Length, 400 / 64, (400 / 64) + 6);
    }

    [Fact]
    public void Address_space_of_retired_pages_is_kept_for_a_while_with_nothing_in_it()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("m");
        MemoryBuffer[] buffers = [.. Enumerable.Range(0, 256).Select(_ => member.Allocate(100_000))];
        Span<byte> kept = buffers[0].GetSpan();
        kept.Fill(1);

        Array.ForEach(buffers, static buffer => buffer.Dispose());

        Assert.Equal(-1, kept.IndexOfAnyExcept((byte)0));
    }

    // Of six hundred gigabytes at most 256 may be left: none of them was ever touched.
    [Fact]
    public void Address_space_of_retired_pages_is_given_up_when_as_many_others_have_followed()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("m");
        using var process = System.Diagnostics.Process.GetCurrentProcess();
        long before = process.VirtualMemorySize64;

        for (int count = 0; count < 600; count++)
        {
            member.Allocate(1L << 30).Dispose();
        }

        process.Refresh();
        Assert.InRange((process.VirtualMemorySize64 - before) >> 30, -1000, 300);
    }
}
