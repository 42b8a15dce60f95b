// The smallest program that shows what the library is for: two members share a group's limit, the greedy one fills it,
// the other one asks, and the greedy one is killed for it. README.md carries the lines between the markers; a test
// keeps the two equal, so change both.

// <Hello>
using MemoryGroups;

using var root = new MemoryRoot(new MemoryRootOptions { CapacityBytes = ByteSize.Parse("64M") });
MemoryGroup tenants = root.CreateGroup("tenants", new MemoryGroupOptions { Max = ByteSize.Parse("32M") });
using MemoryMember greedy = tenants.CreateMember("greedy"), polite = tenants.CreateMember("polite");

greedy.Killed.Register(greedy.Dispose);           // a victim stops its work and gives everything back
await greedy.ChargeAsync(ByteSize.Parse("30M"));
await polite.ChargeAsync(ByteSize.Parse("8M"));   // does not fit: the greedy one is killed, this one goes on
Console.WriteLine(greedy.KillReport);             // who asked, who refused, who was killed and why
// </Hello>
