// The fourth part of the model: honest reclaimers, whom they are asked for, and what High, SoftLimit and a lowered Max
// do with them.
namespace MemoryGroups.Tests;

internal sealed partial class ReferenceModel
{
    private static long Wanted(ModelRequest request) =>
        Math.Max(request.Bytes, Math.Min(128 * 1024, request.Refusing!.Max / 64));

    // Whoever has the turn to lock a group does not keep it while others work for it.
    private IEnumerable<ModelSleep> ReclaimForCharge(ModelRequest request, ModelGroup target)
    {
        if (target.Tree().Exists(static one => one.Caches.Count > 0))
        {
            PassTurnOn(request);
        }

        return Reclaim(request, target, Wanted(request));
    }

    private void ReclaimHere(ModelRequest request, ModelGroup target, long bytes)
    {
        foreach (ModelSleep sleep in Reclaim(request, target, bytes, here: true))
        {
            Assert.Fail($"{sleep.Request.Bytes} bytes wait although they were asked for on this thread");
        }
    }

    // Twice at most, the second time in spite of Low (M41). When the whole root is short, who is furthest above their
    // SoftLimit is asked before that (M46). Cheap ones first.
    private IEnumerable<ModelSleep> Reclaim(
        ModelRequest request, ModelGroup target, long bytes, bool here = false, bool onRequest = false)
    {
        request.SkippedLow = false;
        List<ModelCache> caches = [.. target.Tree().SelectMany(static group => group.Caches).OrderBy(c => c.Cost)];
        Dictionary<ModelGroup, (long Min, long Low)> keep = caches.Select(static cache => cache.Group).Distinct()
            .ToDictionary(static group => group, group => (
                Protection(group, target, static one => one.Min), Protection(group, target, static one => one.Low)));
        (ModelGroup Group, long Excess)[] over = target.Parent is not null || onRequest ? []
            : [.. caches.SelectMany(static cache => cache.Group.Upwards()).Distinct()
                .Where(static one => one.Usage > one.SoftLimit)
                .Select(static one => (one, one.Usage - one.SoftLimit)).OrderByDescending(static one => one.Item2)];
        long given = 0;
        foreach ((ModelGroup group, long excess) in over)
        {
            List<ModelCache> below = [.. caches.Where(cache => cache.Group.IsIn(group))];
            long ask = Math.Min(excess, bytes - given);
            foreach (ModelSleep sleep in Pass(request, target, below, keep, ask, false, here))
            {
                yield return sleep;
            }

            given += request.Gave;
        }

        foreach (ModelSleep sleep in Pass(request, target, caches, keep, bytes - given, false, here))
        {
            yield return sleep;
        }

        request.Gave += given;
        foreach (ModelSleep sleep in request.Gave == 0 && request.SkippedLow
            ? Pass(request, target, caches, keep, bytes, true, here) : [])
        {
            yield return sleep;
        }
    }

    // Shares first, by what each group uses above its protection, then whoever still has something.
    private IEnumerable<ModelSleep> Pass(
        ModelRequest request, ModelGroup target, List<ModelCache> caches,
        Dictionary<ModelGroup, (long Min, long Low)> keep, long bytes, bool evenLow, bool here)
    {
        request.Gave = 0;
        var empty = new HashSet<ModelCache>();
        for (int round = 0; round < 3 && request.Gave < bytes && empty.Count < caches.Count; round++)
        {
            long need = bytes - request.Gave;
            long all = caches.Select(static cache => cache.Group).Distinct()
                .Sum(group => Above(request, group, keep[group], evenLow));
            foreach (ModelCache cache in caches)
            {
                if (request.Gave >= bytes || empty.Contains(cache))
                {
                    continue;
                }

                long left = bytes - request.Gave;
                long above = Above(request, cache.Group, keep[cache.Group], evenLow);
                long share = round > 0 ? left : Math.Min(need, (need * above / Math.Max(1, all)) + 1);
                request.Answer = 0;
                foreach (ModelSleep sleep in Ask(request, cache, Math.Min(Math.Min(share, above), left), here))
                {
                    yield return sleep;
                }

                request.Gave += request.Answer;
                if (request.Answer == 0)
                {
                    empty.Add(cache);
                }
                else if (evenLow && cache.Group != target && cache.Group.Usage < keep[cache.Group].Low)
                {
                    cache.Group.Raise(MemoryEvent.Low);
                }
            }
        }
    }

    private static long Above(ModelRequest request, ModelGroup group, (long Min, long Low) keep, bool evenLow)
    {
        request.SkippedLow |= !evenLow && keep.Low > keep.Min;
        return Math.Max(0, group.Usage - (evenLow ? keep.Min : Math.Max(keep.Min, keep.Low)));
    }

    // One call at a time; it runs after whoever is ready already, unless the asker does not wait.
    private IEnumerable<ModelSleep> Ask(ModelRequest request, ModelCache cache, long bytes, bool here)
    {
        if (bytes <= 0)
        {
            yield break;
        }

        if (cache.Busy)
        {
            request.SawBusy = true;
        }
        else if (here)
        {
            request.Answer = Give(cache, bytes);
        }
        else if (request.Member is not ({ Exited: true } or { Killed: true }))
        {
            cache.Busy = true;
            ModelSleep sleep = NewSleep(request, 1000);
            long gave = 0;
            _ready.Enqueue(() =>
            {
                gave = Give(cache, bytes);
                cache.Busy = false;
                Signal(sleep, WakeReason.Hint);
            });
            yield return sleep;
            request.Member?.Sleeps.Remove(sleep);
            request.Answer = sleep.Why == WakeReason.Hint ? gave : 0;
        }
    }

    private long Give(ModelCache cache, long bytes)
    {
        long gives = Math.Min(bytes, cache.Member.Usage);
        Uncharge(cache.Member, gives);
        return gives;
    }

    // M43, for Min and for Low alike.
    private long Protection(ModelGroup group, ModelGroup target, Func<ModelGroup, long> setting)
    {
        if (group == target)
        {
            return 0;
        }

        ModelGroup parent = group.Parent!;
        long own = Math.Min(group.Usage, setting(group));
        if (parent == target)
        {
            return own;
        }

        long above = Protection(parent, target, setting);
        long sum = parent.Children.Sum(child => Math.Min(child.Usage, setting(child)));
        if (sum > above)
        {
            return own * above / sum;
        }

        bool shares = Setup.Recursive && above > sum && parent.Usage > sum && group.Usage > own;
        return shares
            ? Math.Min(group.Usage, own + ((above - sum) * (group.Usage - own) / (parent.Usage - sum)))
            : own;
    }

    // ---- High (M40)

    private IEnumerable<ModelSleep> SlowDown(ModelRequest request)
    {
        ModelMember member = request.Member!;
        List<ModelGroup> path = request.Books!.Group.Upwards();
        if (member.IsDying || path.TrueForAll(static group => group.Usage <= group.High))
        {
            yield break;
        }

        path.Where(static group => group.Usage > group.High).ToList().ForEach(
            static group => group.Raise(MemoryEvent.High));
        long given = 1;
        for (int round = 0; round < 16 && given > 0 && !request.Has(ChargeFlags.NoReclaim); round++)
        {
            given = 0;
            foreach (ModelGroup group in path.Where(static group => group.Usage > group.High))
            {
                foreach (ModelSleep sleep in Reclaim(request, group, group.Usage - group.High))
                {
                    yield return sleep;
                }

                given += request.Gave;
            }

            given = path.Max(group => Delay(group, request.Bytes)) == 0 ? 0 : given;
        }

        long delay = path.Max(group => Delay(group, request.Bytes));
        if (delay > 0 && !member.IsDying)
        {
            ModelSleep sleep = NewSleep(request, delay);
            yield return sleep;
            member.Sleeps.Remove(sleep);
        }
    }

    // In steps of 2^-20; four times High and more is the same.
    private static long Delay(ModelGroup group, long bytes)
    {
        long high = Math.Max(1, group.High);
        long over = group.Usage <= group.High ? 0 : Math.Min(4L << 20, ((group.Usage - group.High) << 20) / high);
        long penalty = (long)((Int128)over * over * 64000 >> 40);
        long delay = Math.Min(2000, penalty * bytes / (256 * 1024));
        return delay <= 10 ? 0 : delay;
    }

    // ---- reclaim on request, for a lower Max, in the background

    public IEnumerable<ModelSleep> ReclaimOnRequest(ModelRequest request, ModelGroup group, long bytes)
    {
        long given = 0;
        do
        {
            long left = bytes - given;
            foreach (ModelSleep sleep in Reclaim(
                request, group, Math.Max(left / 4, Math.Min(left, 128 * 1024)), onRequest: true))
            {
                yield return sleep;
            }

            given += request.Gave;
        }
        while (given < bytes && request.Gave > 0);
        request.Outcome = given.ToString(System.Globalization.CultureInfo.InvariantCulture);
    }

    public IEnumerable<ModelSleep> TrySetMax(ModelRequest request, ModelGroup group, long bytes)
    {
        for (int round = 0; request.Outcome is null; round++)
        {
            if (bytes >= group.Max || group.Usage <= bytes)
            {
                SetMax(group, bytes);
                request.Outcome = "True";
                yield break;
            }

            if (round == 16)
            {
                break;
            }

            foreach (ModelSleep sleep in Reclaim(request, group, group.Usage - bytes))
            {
                yield return sleep;
            }

            if (request.Gave == 0 && group.Usage > bytes)
            {
                break;
            }
        }

        request.Outcome = "False";
    }

    public IEnumerable<ModelSleep> SetMax(ModelRequest request, ModelGroup group, long bytes)
    {
        SetMax(group, bytes);
        int rounds = 0;
        bool more = true;
        while (more && !FitsIn(request, group) && !request.Cancelled && TimeLeft(request) != 0)
        {
            request.SawBusy = false;
            foreach (ModelSleep sleep in Reclaim(request, group, group.Usage - group.Max))
            {
                yield return sleep;
            }

            if (FitsIn(request, group) || (request.Gave > 0 && ++rounds < 16))
            {
                continue;
            }

            if (request.Gave == 0 && request.SawBusy && ++rounds < 16)
            {
                foreach (ModelSleep sleep in Pause(request, group, 10, () => !FitsIn(request, group)))
                {
                    yield return sleep;
                }

                continue;
            }

            rounds = 0;
            more = !group.KillDisabled;
            if (more && !HasVictim(group))
            {
                group.Raise(MemoryEvent.Oom);
                more = ChooseAndKill(request, group) == OomVerdict.Retry;
            }

            if (more)
            {
                foreach (ModelSleep sleep in Pause(
                    request, group, null, () => !FitsIn(request, group) && HasVictim(group)))
                {
                    yield return sleep;
                }

                more = request.Verdict == OomVerdict.Retry;
            }
        }

        Finish(request);
        request.Outcome = FitsIn(request, group) ? "True" : "False";
    }

    // Setting it below the usage reclaims down to it, behind the setter's back.
    public void SetHigh(ModelGroup group, long bytes)
    {
        group.High = bytes;
        if (group.Usage > bytes && !group.InBackground
            && group.Tree().Exists(static one => one.Caches.Count > 0))
        {
            group.InBackground = true;
            _ready.Enqueue(() => Start(Background(NewRequest(null, 0), group, () => group.Usage - group.High)));
        }
    }

    private void StartBackground()
    {
        if (LowWatermark > 0 && Root.Room(LowWatermark) < 0)
        {
            StartBackground(0);
        }
    }

    private bool StartBackground(long wanted)
    {
        if (Root.InBackground || !Root.Tree().Exists(static group => group.Caches.Count > 0))
        {
            return false;
        }

        Root.InBackground = true;
        _ready.Enqueue(() => Start(Background(NewRequest(null, 0), Root, () => wanted - Root.Room(HighWatermark))));
        return true;
    }

    // A request that may not reclaim kills nobody while others reclaim, for it or for themselves (M20).
    private bool LeavesReclaimToOthers(ModelRequest request)
    {
        if (!request.Has(ChargeFlags.NoReclaim))
        {
            return false;
        }

        request.LeftToOthers = request.LeftToOthers || StartBackground(request.Bytes);
        return Root.InBackground;
    }

    private IEnumerable<ModelSleep> Background(ModelRequest request, ModelGroup group, Func<long> missing)
    {
        int fruitless = 0;
        for (request.Gave = 1; missing() > 0 && fruitless < 16 && request.Gave > 0;)
        {
            long before = group.Usage;
            foreach (ModelSleep sleep in Reclaim(request, group, missing()))
            {
                yield return sleep;
            }

            fruitless = group.Usage < before ? 0 : fruitless + 1;
        }

        group.InBackground = false;
    }
}
