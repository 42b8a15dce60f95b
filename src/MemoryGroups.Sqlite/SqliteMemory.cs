// Puts SQLite's allocator under the groups: once per process, before SQLite is used for anything else.
//
// SQLite takes an allocator only before it is initialised, and its first call initialises it, so the order matters and
// is checked: the hook, then the switch for SQLite's own statistics (off: they would take one lock for each allocation
// of the whole process), then SQLite's initialisation, which makes the hook final. At the end a connection is opened
// and closed, to be sure that the provider uses the library that was hooked: memory that nobody charges must not go
// unnoticed.
namespace MemoryGroups.Sqlite;

/// <summary>SQLite's allocator, charged to memory groups.</summary>
/// <remarks>
/// Process-wide, because SQLite has one allocator per process. What a <see cref="SqliteSession"/> allocates is charged
/// to it and to its queries; everything else to the unattributed member. Thread safety: all members may be used from
/// any thread.
/// </remarks>
public static class SqliteMemory
{
    private static readonly Lock Gate = new();
    private static SqliteNative? _native;

    /// <summary>True once <see cref="Install"/> has succeeded.</summary>
    public static bool IsInstalled => Volatile.Read(ref _native) is not null;

    /// <summary>
    /// Bytes that SQLite has allocated and not freed, whoever is charged for them: block headers and the C allocator's
    /// rounding included. Exact while nobody allocates.
    /// </summary>
    public static long BytesInUse => SqliteAccountTable.BytesInUse;

    internal static SqliteNative Native =>
        Volatile.Read(ref _native) ?? throw new InvalidOperationException(
            "SQLite's memory is not governed yet. Call SqliteMemory.Install(member) once, at the start of the program, "
            + "before SQLite is used for anything.");

    /// <summary>
    /// Makes SQLite allocate through this library. Once per process, before SQLite is used for anything else.
    /// </summary>
    /// <param name="unattributed">
    /// Charged for what is allocated outside of a <see cref="SqliteSession"/>, whether it fits or not. Make it with
    /// <see cref="MemoryMember.NeverKill"/>: killing it would free nothing.
    /// </param>
    /// <exception cref="ArgumentNullException"><paramref name="unattributed"/> is null.</exception>
    /// <exception cref="InvalidOperationException">
    /// It is installed already, or SQLite is in use already, or the SQLite provider of this process uses another native
    /// library.
    /// </exception>
    /// <exception cref="DllNotFoundException">The native library is missing, or too old.</exception>
    /// <exception cref="PlatformNotSupportedException">SQLite's configuration cannot be called on this
    /// platform.</exception>
    public static void Install(MemoryMember unattributed) => InstallOnce(unattributed, keepNativeStatistics: false);

    /// <summary>
    /// Replaces the member that is charged for what nobody else is; what the old one is charged for passes to it. Each
    /// call keeps a small record for the life of the process.
    /// </summary>
    /// <param name="unattributed">The new member.</param>
    /// <exception cref="ArgumentNullException"><paramref name="unattributed"/> is null.</exception>
    /// <exception cref="InvalidOperationException">Nothing is installed.</exception>
    public static void Attribute(MemoryMember unattributed)
    {
        ArgumentNullException.ThrowIfNull(unattributed);
        _ = Native;
        lock (Gate)
        {
            SqliteAccount before = SqliteBlocks.Unattributed!;
            var after = new SqliteAccount(unattributed, neverRefuses: true);
            SqliteBlocks.Unattributed = after;
            before.HandOverTo(after);
        }
    }

    internal static void InstallOnce(MemoryMember unattributed, bool keepNativeStatistics)
    {
        ArgumentNullException.ThrowIfNull(unattributed);
        lock (Gate)
        {
            if (IsInstalled)
            {
                throw new InvalidOperationException(
                    "SQLite's memory is governed already: Install is called once per process. To charge another member "
                    + "for what nobody else is charged for, call SqliteMemory.Attribute.");
            }

            SqliteNative native = SqliteNative.Load();
            Hook(native, unattributed, keepNativeStatistics);
            CheckProvider();
            Volatile.Write(ref _native, native);
        }
    }

    private static void Hook(SqliteNative native, MemoryMember unattributed, bool keepNativeStatistics)
    {
        // A hook that an earlier call has set stays set, whatever failed after it.
        if (SqliteBlocks.Unattributed is { } before)
        {
            var after = new SqliteAccount(unattributed, neverRefuses: true);
            SqliteBlocks.Unattributed = after;
            before.HandOverTo(after);
            return;
        }

        SqliteBlocks.Unattributed = new SqliteAccount(unattributed, neverRefuses: true);
        int result = native.ConfigureAllocator(SqliteBlocks.Methods);
        if (result != SqliteNative.Ok)
        {
            SqliteAccountTable.Remove(SqliteBlocks.Unattributed);
            SqliteBlocks.Unattributed = null;
            throw new InvalidOperationException(
                result == SqliteNative.Misuse
                    ? "SQLite is in use already, and takes an allocator only before its first use. Call "
                        + "SqliteMemory.Install at the start of the program, before any SqliteConnection is opened, "
                        + "also by other libraries."
                    : $"SQLite refused the allocator (sqlite3_config answered {result}).");
        }

        native.ConfigureStatistics(keepNativeStatistics);
        result = native.Initialize();
        if (result != SqliteNative.Ok)
        {
            throw new InvalidOperationException(
                $"SQLite could not be initialised (sqlite3_initialize answered {result}).");
        }
    }

    private static void CheckProvider()
    {
        SQLitePCL.Batteries_V2.Init();
        long before = BytesInUse;
        int result = SQLitePCL.raw.sqlite3_open(":memory:", out SQLitePCL.sqlite3 connection);
        using (connection)
        {
            if (result != SqliteNative.Ok || BytesInUse == before)
            {
                throw new InvalidOperationException(
                    "The SQLite provider of this process uses another native library than 'e_sqlite3', which was "
                    + "hooked: its memory would not be charged. Use the package SQLitePCLRaw.bundle_e_sqlite3 and no "
                    + "other provider.");
            }
        }
    }
}
