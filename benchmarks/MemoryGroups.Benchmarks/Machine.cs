// The machine as a benchmark sees it: its cores, a thread's place on them, a thread's CPU time, and what it costs to
// send a cache line from one core to another and back.
//
// On Linux by libc; elsewhere threads are not pinned, every window counts, and the table says so.
using System.Runtime.InteropServices;

namespace MemoryGroups.Benchmarks;

internal sealed partial class Machine
{
    private const int ThreadCpuTime = 3;
    private const int MaskWords = 16;

    private static readonly TimeProvider Clock = TimeProvider.System;
    private static readonly double NanosPerTick = 1e9 / Clock.TimestampFrequency;

    private readonly long[] _allowed = new long[MaskWords];
    private readonly int[] _cpus;

    internal Machine()
    {
        if (OperatingSystem.IsLinux() && GetAffinity(0, MaskWords * sizeof(long), _allowed) == 0)
        {
            _cpus = [.. Enumerable.Range(0, MaskWords * 64).Where(cpu => (_allowed[cpu / 64] >> (cpu % 64) & 1) == 1)];
        }
        else
        {
            _cpus = [];
        }

        // A container's CPU quota may allow less than the mask.
        Cores = Math.Min(Environment.ProcessorCount, _cpus.Length == 0 ? int.MaxValue : _cpus.Length);
    }

    internal int Cores { get; }

    internal bool SeesCpuTime => _cpus.Length > 0;

    internal double Nanos() => Clock.GetTimestamp() * NanosPerTick;

    internal double ThreadCpuNanos() =>
        SeesCpuTime && GetTime(ThreadCpuTime, out TimeSpec time) == 0 ? (time.Seconds * 1e9) + time.Nanos : 0;

    /// <summary>Puts this thread on one core; null lets it run on all of them.</summary>
    internal void Pin(int? core)
    {
        if (!SeesCpuTime)
        {
            return;
        }

        var mask = new long[MaskWords];
        if (core is { } at)
        {
            int cpu = _cpus[at % _cpus.Length];
            mask[cpu / 64] = 1L << (cpu % 64);
        }

        _ = SetAffinity(0, MaskWords * sizeof(long), core is null ? _allowed : mask);
    }

    /// <summary>The round trip of a cache line between two cores in nanoseconds, the median of some; NaN with one
    /// core.</summary>
    internal double LineRoundTrip()
    {
        if (Cores < 2)
        {
            return double.NaN;
        }

        // So long at most, however busy the machine is.
        const double MostNanos = 200e6;
        const int Trips = 1000;
        var line = new PingPong();
        var times = new List<double>();
        var echo = new Thread(() =>
        {
            Pin(1);
            line.Echo();
        });
        echo.Start();
        var ping = new Thread(() =>
        {
            Pin(0);
            line.Send(Trips);
            for (double begin = Nanos(); Nanos() - begin < MostNanos;)
            {
                double start = Nanos();
                line.Send(Trips);
                times.Add((Nanos() - start) / Trips);
            }

            line.Stop();
        });
        ping.Start();
        ping.Join();
        echo.Join();
        times.Sort();
        return Figures.Median(times);
    }

    internal string Describe() =>
        $"{Cores} cores, {RuntimeInformation.OSArchitecture}, {CpuName()}, {RuntimeInformation.FrameworkDescription}, "
        + RuntimeInformation.OSDescription + (SeesCpuTime ? "" : "; threads are not pinned, no window is dropped");

    private static string CpuName()
    {
        const string File = "/proc/cpuinfo";
        string? line = System.IO.File.Exists(File)
            ? System.IO.File.ReadLines(File).FirstOrDefault(static at =>
                at.StartsWith("model name", StringComparison.Ordinal))
            : null;
        return line?[(line.IndexOf(':') + 1)..].Trim() ?? "unknown CPU";
    }

    [LibraryImport("libc", EntryPoint = "sched_getaffinity")]
    private static partial int GetAffinity(int thread, nint size, [Out] long[] mask);

    [LibraryImport("libc", EntryPoint = "sched_setaffinity")]
    private static partial int SetAffinity(int thread, nint size, [In] long[] mask);

    [LibraryImport("libc", EntryPoint = "clock_gettime")]
    private static partial int GetTime(int clock, out TimeSpec time);

    private struct TimeSpec
    {
        internal long Seconds;
        internal long Nanos;
    }

    [StructLayout(LayoutKind.Explicit, Size = 256)]
    private sealed class PingPong
    {
        [FieldOffset(128)]
        private int _turn;

        internal void Send(int trips)
        {
            for (int i = 0; i < trips; i++)
            {
                Volatile.Write(ref _turn, 1);
                while (Volatile.Read(ref _turn) != 0)
                {
                }
            }
        }

        internal void Stop() => Volatile.Write(ref _turn, -1);

        internal void Echo()
        {
            while (Volatile.Read(ref _turn) is var turn && turn >= 0)
            {
                if (turn == 1)
                {
                    Volatile.Write(ref _turn, 0);
                }
            }
        }
    }
}
