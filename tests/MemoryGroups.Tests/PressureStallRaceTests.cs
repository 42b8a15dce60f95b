// Stalls on real threads: whatever meets, what is counted in the end is what is true.
namespace MemoryGroups.Tests;

public sealed class PressureStallRaceTests
{
    [Fact]
    public async Task Counts_are_right_after_any_race_of_stalls_freezing_and_exits()
    {
        const int rounds = 2000;
        using var world = new World();
        MemoryGroup tenant = world.Root.CreateGroup("parent").CreateGroup("tenant");
        MemoryMember[] members = [.. Enumerable.Range(0, 3).Select(i => tenant.CreateMember($"member{i}"))];
        Task[] all = [.. Enumerable.Range(0, 4).Select(seed => OnItsOwnThread(() => Toggle(new Random(seed))))];

        await Task.WhenAll(all);

        Assert.Equal((0, 2, 0, 2), (tenant.StalledMembers, tenant.LiveMembers, world.Root.StalledMembers, 2));
        Assert.InRange(tenant.Pressure.Full.TotalTime, TimeSpan.Zero, tenant.Pressure.Some.TotalTime);

        void Toggle(Random random)
        {
            for (int i = 0; i < rounds; i++)
            {
                MemoryMember member = members[random.Next(members.Length)];
                member.BeginStall();
                member.Freeze();
                if (i == rounds / 2)
                {
                    members[0].Dispose();
                }

                member.Thaw();
                member.EndStall();
            }
        }
    }

    private static Task OnItsOwnThread(Action body) => Task.Factory.StartNew(
        body, TestContext.Current.CancellationToken, TaskCreationOptions.LongRunning, TaskScheduler.Default);
}
