// Where buffers lie, and what becomes of their memory when they end: blocks and slabs are used again, pages go back to
// the operating system, and nothing is given to others while somebody may still read it.
//
// In one collection with everything else that has buffers: the store of slabs belongs to the process.
namespace MemoryGroups.Tests;

[Collection("buffers")]
public sealed class BufferMemoryTests
{
    // Eight blocks of this size make a slab.
    private const int Block = BufferSlab.LargestBlock;

    private const int Large = 1_000_000;

    [Fact]
    public void Slab_is_filled_before_another_one_is_begun_and_its_gaps_before_that_one()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("m");
        MemoryBuffer[] first = Many(member, 8);
        MemoryBuffer ninth = member.Allocate(Block);
        Assert.All(first, buffer => Assert.Same(first[0].Block.Slab, buffer.Block.Slab));
        Assert.NotSame(first[0].Block.Slab, ninth.Block.Slab);

        nint gap = first[3].Block.Address;
        first[3].Dispose();
        MemoryBuffer filling = member.Allocate(Block);
        MemoryBuffer tenth = member.Allocate(Block);

        Assert.Equal(gap, filling.Block.Address);
        Assert.Same(ninth.Block.Slab, tenth.Block.Slab);
    }

    [Fact]
    public void Slab_that_is_empty_goes_back_with_its_pages_unless_it_is_the_last_of_its_size()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("m");
        MemoryBuffer[] first = Many(member, 8);
        MemoryBuffer[] second = Many(member, 8);

        Array.ForEach(second, static buffer => buffer.Dispose());
        Assert.False(StoredSlabs.Contain(second[0].Block.Slab!.Address));
        Array.ForEach(first, static buffer => buffer.Dispose());

        Assert.True(StoredSlabs.Contain(first[0].Block.Slab!.Address));
        Assert.Equal(0, ResidentPages.BytesOf(first[7]));
        Assert.True(ResidentPages.BytesOf(second[7]) >= Block);
        Assert.Same(second[0].Block.Slab, member.Allocate(Block).Block.Slab);
    }

    [Fact]
    public void Large_buffer_gives_its_pages_back_when_it_is_disposed()
    {
        using var world = new World();
        MemoryBuffer buffer = world.Root.CreateMember("m").Allocate(Large);
        buffer.GetSpan().Fill(1);

        buffer.Dispose();

        Assert.Equal(0, ResidentPages.BytesOf(buffer));
    }

    // What code of the victim writes after its memory was taken makes pages anew. These go when nobody is left.
    [Theory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public void Memory_that_was_taken_is_kept_for_late_code_until_the_last_buffer_is_disposed(bool reaped, bool checks)
    {
        using var world = new World(configure: options => options with { CheckBuffers = checks });
        MemoryMember member = world.Root.CreateGroup("tenant").CreateMember("m");
        MemoryBuffer[] buffers = [member.Allocate(Block), member.Allocate(Large), member.Allocate(Block)];
        Span<byte> small = buffers[0].GetSpan();
        Span<byte> large = buffers[1].GetSpan();
        TakeAll(world, member, reaped);
        Assert.ThrowsAny<Exception>(() => buffers[0].Pin());
        Assert.ThrowsAny<Exception>(() => buffers[1].Read(0, new byte[1]));
        nint slab = buffers[0].Block.Slab!.Address;

        small[0] = large[0] = 1;
        buffers[0].Dispose();
        buffers[1].Dispose();
        Assert.False(StoredSlabs.Contain(slab));
        Assert.True(ResidentPages.BytesOf(buffers[0]) > 0 && ResidentPages.BytesOf(buffers[1]) > 0);
        buffers[2].Dispose();

        Assert.True(StoredSlabs.Contain(slab));
        Assert.Equal((0, 0), (ResidentPages.BytesOf(buffers[0]), ResidentPages.BytesOf(buffers[1])));
    }

    [Fact]
    public void Memory_of_a_member_without_buffers_goes_back_at_its_exit()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("m");
        MemoryBuffer buffer = member.Allocate(Block);
        nint slab = buffer.Block.Slab!.Address;
        buffer.Dispose();
        Assert.False(StoredSlabs.Contain(slab));

        member.Dispose();

        Assert.True(StoredSlabs.Contain(slab));
    }

    [Fact]
    public void Memory_is_taken_once_and_the_first_who_takes_it_is_told_to_those_who_come_late()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("m");
        var arena = new BufferArena(member);

        Assert.True(arena.TryFree());
        Assert.False(arena.TryFree());
        arena.Close();

        Assert.Throws<OomKilledException>(arena.ThrowIfTaken);
        var closed = new BufferArena(member);
        closed.Close();
        Assert.StartsWith(
            "The member 'root/m' has exited; its buffers went with it.",
            Assert.Throws<ObjectDisposedException>(closed.ThrowIfTaken).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void Checked_buffers_use_their_memory_again_after_it_was_held_back()
    {
        using var world = new World(configure: static options => options with { CheckBuffers = true });
        MemoryMember member = world.Root.CreateMember("m");
        var places = new HashSet<nint>();

        for (int count = 0; count < 200; count++)
        {
            using MemoryBuffer buffer = member.Allocate(1000);
            places.Add(buffer.Block.Address);
        }

        // At most 32 are held back.
        Assert.InRange(places.Count, 33, 34);
    }

    [Fact]
    public void Buffer_that_was_read_written_and_pinned_still_goes_back_when_it_is_disposed()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateMember("m");
        MemoryBuffer buffer = member.Allocate(100);

        buffer.Write(0, [1]);
        buffer.Read(0, new byte[1]);
        buffer.Pin().Dispose();
        buffer.Dispose();

        Assert.Equal(0, member.Usage);
        Assert.True(member.Space.TryBeginReap(), "the space is pinned still");
    }

    [Fact]
    public void Pin_in_a_space_that_is_being_reaped_is_refused_and_keeps_nothing()
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateGroup("tenant").CreateMember("m");
        MemoryBuffer buffer = member.Allocate(100);
        Assert.True(member.Space.TryBeginReap());

        Assert.Throws<OomKilledException>(() => buffer.Pin());
        buffer.Dispose();

        Assert.Equal(0, member.Usage);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task First_buffer_in_a_space_that_was_taken_is_refused_each_time_in_the_same_way(bool hadOne)
    {
        using var world = new World();
        MemoryMember member = world.Root.CreateGroup("tenant").CreateMember("m");
        if (hadOne)
        {
            member.Allocate(100).Dispose();
        }

        TakeAll(world, member, reaped: true);

        for (int count = 0; count < 2; count++)
        {
            Assert.Throws<OomKilledException>(() => member.Allocate(100));
            Assert.Throws<OomKilledException>(() => member.TryAllocate(100));
            await Assert.ThrowsAsync<OomKilledException>(() => member.AllocateAsync(100).AsTask());
        }
    }

    [Fact]
    public void Buffer_whose_memory_is_taken_while_it_is_charged_is_refused_as_killed()
    {
        using var world = new World();
        MemoryMember member = world.Root
            .CreateGroup("tenant", new MemoryGroupOptions { BatchBytes = 1 }).CreateMember("m");
        member.Allocate(100).Dispose();
        world.Once(ProbePoint.BeforeSwap, () => TakeAll(world, member, reaped: true));

        Assert.Throws<OomKilledException>(() => member.TryAllocate(100));

        Assert.Equal(0, member.Usage);
    }

    [Fact]
    public void Disposed_buffer_that_is_still_pinned_is_over_for_everybody_else()
    {
        using var world = new World();
        MemoryBuffer buffer = world.Root.CreateMember("m").Allocate(100);
        using System.Buffers.MemoryHandle pin = buffer.Pin();

        buffer.Dispose();

        Assert.Throws<ObjectDisposedException>(() => buffer.Read(0, new byte[1]));
        Assert.Throws<ObjectDisposedException>(() => buffer.Write(0, [1]));
        Assert.Throws<ObjectDisposedException>(() => buffer.Pin());
    }

    [Fact]
    public unsafe void Pin_points_to_the_byte_that_was_asked_for()
    {
        using var world = new World();
        using MemoryBuffer buffer = world.Root.CreateMember("m").Allocate(100);
        buffer.Write(77, [5]);

        using System.Buffers.MemoryHandle pin = buffer.Pin(77);

        Assert.Equal(5, *(byte*)pin.Pointer);
    }

    [Fact]
    public void Largest_buffer_that_fits_one_span_is_shown_whole()
    {
        using var world = new World();
        using MemoryBuffer buffer = world.Root.CreateMember("m").Allocate(int.MaxValue);

        Assert.Equal((int.MaxValue, int.MaxValue), (buffer.GetSpan().Length, buffer.Memory.Length));
    }

    private static MemoryBuffer[] Many(MemoryMember member, int count)
    {
        MemoryBuffer[] buffers = [.. Enumerable.Range(0, count).Select(_ => member.Allocate(Block))];
        Array.ForEach(buffers, static buffer => buffer.GetSpan().Fill(1));
        return buffers;
    }

    private static void TakeAll(World world, MemoryMember member, bool reaped)
    {
        if (!reaped)
        {
            member.Dispose();
            return;
        }

        Assert.True(member.Space.TryBeginReap());
        OomReaper.Take(world.Root, member.Space);
    }
}
