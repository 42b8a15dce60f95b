/*
 * The OOM protocol of a group, small enough to look at every order in which its steps can happen.
 *
 * Three members in three groups charge, are refused, contest the OOM lock, kill, sleep, wake, exit and are reaped; as
 * variants somebody cancels, listens, lowers a limit or switches a killer on. One step here is one step there that
 * others can see: one compare-and-swap, one volatile read, or one region under the root's guard. WakeFitting is the
 * only guarded region that is taken apart: it reads counters, and those move without the guard.
 *
 * No timeouts: the real code ends every wait at its deadline, here a sleeper that nobody wakes sleeps for ever. So a
 * lost wake-up is an invalid end state, and so is a deadlock. The rest are assertions, named after the design's invariants.
 *
 * Names follow src/MemoryGroups; README.md maps them, says what is left out and why, and how to read a counterexample.
 * Each mutant below removes or moves one step of the protocol and must be found; eng/model.sh runs them all.
 */

#define NOBODY 3    /* no member; above the topmost group */
#define MEMBERS 3
#define ACTORS 4    /* the members, and who administers */
#define ADMIN 3

/* Group 0 is the parent; FORK: 1 and 2 are its children; CHAIN: 1 is its child, 2 is the child of 1. */
#ifdef CHAIN
#define UP(g) ((g) == 0 -> NOBODY : (g) - 1)
#define WITHIN(g, top) ((g) >= (top))
#else
#define UP(g) ((g) == 0 -> NOBODY : 0)
#define WITHIN(g, top) ((top) == 0 || (g) == (top))
#endif

/* Who goes by itself may be reaped meanwhile; that race is looked at for one member. Who never goes must be. */
#if defined(REAP) && defined(STUCK)
#define REAPED(v) true
#elif defined(REAP)
#define REAPED(v) ((v) == 2)
#else
#define REAPED(v) false
#endif
#define RELATED(a, b) (WITHIN(a, b) || WITHIN(b, a))

mtype = { Quiet, Hint, Killed, Cancelled };             /* what a waiter was told */
mtype = { Retry, Died, GaveUp, NoVictim };              /* what came of a contest */

/* Groups. */
byte usage[3];
byte limit[3];
byte waiters[3];            /* the counter's copy, read without the guard */
byte marks[3];
byte holder[3] = NOBODY;    /* OomLock */
bool turn[ACTORS];          /* told to look again because a lock became free */
bool contends[ACTORS];      /* is marked, and tries or sleeps for the lock */
byte heldBelow[3];
bool killDisabled;

/* Members, and who administers: an actor has at most one waiter at a time. */
byte home[ACTORS];
byte ask[ACTORS];
byte drawn[MEMBERS];
mtype told[ACTORS] = Quiet;
byte queuedAt[ACTORS] = NOBODY;
bool attached[ACTORS];
bool cancelled[ACTORS];
bool killed[ACTORS];
bool exited[MEMBERS];
bool stays[MEMBERS];        /* keeps what it has or gets, and goes only when it is killed */
bool over[ACTORS];          /* has ended, or would stay for ever if nobody killed it */

/* Spaces: each member has its own. */
bool victim[MEMBERS];
bool inFlight[MEMBERS];
bool isHidden[ACTORS];
bool toReap[MEMBERS];

/* The root. */
bool guard;                 /* held across steps by WakeFitting only */
bool killLock;
chan killQueue = [ACTORS] of { byte };

/* Who listens to OOMs. */
bool listening;
bool heard;
byte ear;

hidden byte i;
hidden short room;
hidden byte any;

#define FITS(a, g) (ask[a] + usage[g] <= limit[g])

#define IN_FLIGHT(v, g) (inFlight[v] && !isHidden[v] && WITHIN(home[v], g))
#define VICTIM_IN_FLIGHT(g) (IN_FLIGHT(0, g) || IN_FLIGHT(1, g) || IN_FLIGHT(2, g))
#define ELIGIBLE(v, g) (WITHIN(home[v], g) && !exited[v] && !victim[v] && !isHidden[v] && drawn[v] > 0)
#define DRAWN_IN(v, g) (WITHIN(home[v], g) -> drawn[v] : 0)
#define ON_THE_WAY(g) (usage[g] > DRAWN_IN(0, g) + DRAWN_IN(1, g) + DRAWN_IN(2, g))
#define MARKED(g) (marks[g] > 0 || (UP(g) != NOBODY && marks[UP(g) % 3] > 0) || (g > 0 && marks[0] > 0))

/* ---- OomWaitQueue ---- */

inline signal(a, why) {
  if
  :: told[a] == Quiet -> told[a] = why
  :: else
  fi
}

/* A counter fell at g and above: oldest first (the order of arrival is the order of the numbers), as far as the room
 * goes. Bytes of one who was woken before are kept for it. */
inline wakeFitting(g) {
  d_step { !guard -> guard = true; wl = g }
  do
  :: wl == NOBODY -> break
  :: wl != NOBODY -> d_step {
       room = limit[wl] - usage[wl];
       i = 0;
       do
       :: i < ACTORS ->
          if
          :: queuedAt[i] == wl && (told[i] == Quiet || told[i] == Hint) && ask[i] <= room ->
             room = room - ask[i];
             told[i] = Hint
          :: else
          fi;
          i++
       :: else -> break
       od;
       wl = UP(wl)
     }
  od;
  guard = false
}

/* Something other than a counter changed at g: everybody below and above looks again. */
inline wakeAll(g) {
  d_step {
    !guard;
    i = 0;
    do
    :: i < ACTORS ->
       if
       :: queuedAt[i] != NOBODY && RELATED(queuedAt[i], g) -> signal(i, Hint)
       :: else
       fi;
       i++
    :: else -> break
    od
  }
}

#define LOCKABLE(g) (heldBelow[g] == 0 && holder[g] == NOBODY && holder[0] == NOBODY && \
  (UP(g) == NOBODY || holder[UP(g) % 3] == NOBODY))

/* The oldest contender at g that sleeps tries next, if the lock can be had. Part of a guarded step. */
inline giveTurn(g, from) {
  if
  :: LOCKABLE(g) ->
     any = from;
     do
     :: any == ACTORS || (queuedAt[any] == g && contends[any] && told[any] == Quiet) -> break
     :: else -> any++
     od;
     if
     :: any < ACTORS -> told[any] = Hint; turn[any] = true
     :: else
     fi
  :: else
  fi
}

/* OomWaitQueue.PassTurnOn: to somebody younger. */
inline passTurnOn() {
#ifndef NO_TURN_PASSED_ON
  if
  :: turnAt != NOBODY -> d_step { !guard; giveTurn(turnAt, me + 1); turnAt = NOBODY }
  :: else
  fi
#else
  turnAt = NOBODY
#endif
}

inline enter(a, g) {
  d_step {
    !guard;
    told[a] = Quiet;
    turn[a] = false;
    if
    :: killed[a] -> told[a] = Killed
    :: else -> attached[a] = true
    fi;
    queuedAt[a] = g;
    waiters[g]++
  }
}

/* Part of a guarded step. The reason stays readable until the next waiter is made. */
inline leaveQueue(a, g) {
  if
  :: contends[a] -> contends[a] = false; assert(marks[g] > 0); marks[g]--
  :: else
  fi;
  queuedAt[a] = NOBODY;
  waiters[g]--;
  attached[a] = false;
  if
  :: told[a] == Hint -> hint = g
  :: else
  fi;
  if
  :: turn[a] -> turn[a] = false; turnAt = g
  :: else
  fi
}

inline passHintOn() {
  if
  :: hint != NOBODY ->
#ifndef NO_HINT_PASSED_ON
     lv = hint;
     hint = NOBODY;
     wakeFitting(lv);
     lv = 0
#else
     hint = NOBODY
#endif
  :: else
  fi
}

/* Also the sleep of OomWaiter: a token that is cancelled ends it like any other signal, whoever is first. */
inline sleep(a) {
  d_step {
    told[a] != Quiet || cancelled[a] ->
    if
    :: told[a] == Quiet -> told[a] = Cancelled
    :: else
    fi
  }
}

/* ---- UsageCounter ---- */

inline uncharge(g, bytes, stop) {
  if
  :: bytes > 0 ->
#ifdef WAKE_BEFORE_COUNTER_FALLS
     fell = waiters[g] > 0 || (UP(g) != NOBODY && waiters[UP(g) % 3] > 0) || waiters[0] > 0;
     if
     :: fell -> wakeFitting(g)
     :: else
     fi;
#endif
     lv = g;
     fell = false;
     do
     :: lv == stop -> break
     :: lv != stop -> usage[lv] = usage[lv] - bytes;
        d_step { fell = fell || waiters[lv] > 0; lv = UP(lv) }
     od;
     lv = 0;
     if
     :: fell ->
        fell = false;
#if !defined(UNCHARGE_FORGETS_WAKE) && !defined(WAKE_BEFORE_COUNTER_FALLS)
        wakeFitting(g)
#endif
     :: else
     fi
  :: else
  fi
}

/* Answers in r who refused, NOBODY for nobody. First a look at the whole path, then a swap at each level. */
inline tryCharge(a) {
  r = home[a];
  do
  :: r == NOBODY -> break
  :: r != NOBODY && !FITS(a, r) -> break
  :: r != NOBODY && FITS(a, r) -> r = UP(r)
  od;
  if
  :: r == NOBODY ->
     r = home[a];
     do
     :: r == NOBODY -> break
     :: atomic { r != NOBODY && !FITS(a, r) -> break }
     :: atomic { r != NOBODY && FITS(a, r) -> usage[r] = usage[r] + ask[a]; r = UP(r) }
     od;
     if
     :: r == NOBODY -> drawn[a] = drawn[a] + ask[a]
     :: else -> uncharge(home[a], ask[a], r)
     fi
  :: else
  fi
}

/* ---- OomLock ---- */

inline tryAcquire(a, g) {
  d_step {
    !guard;
    locked = LOCKABLE(g);
    turn[a] = false;
    turnAt = NOBODY;
    if
    :: locked ->
       holder[g] = a;
       i = UP(g);
       do
       :: i != NOBODY -> heldBelow[i]++; i = UP(i)
       :: else -> break
       od
    :: else
    fi;
    assert(heldBelow[0] == 0 || holder[0] == NOBODY);   /* I4 */
    assert(heldBelow[1] == 0 || holder[1] == NOBODY)
  }
}

/* With the turns that follow from it: the parts of OomContest.Leave for who holds. Part of a guarded step. */
inline releaseLock(a, g) {
#ifdef RELEASE_CLEARS_ANOTHERS_HOLD
  any = holder[g] != NOBODY;
#else
  any = true;
  assert(holder[g] == a);                               /* I9 */
#endif
  if
  :: any ->
     holder[g] = NOBODY;
     i = UP(g);
     do
     :: i != NOBODY -> assert(heldBelow[i] > 0); heldBelow[i]--; i = UP(i)
     :: else -> break
     od
  :: else
  fi
}

/* OomWaitQueue.GiveTurnsLocked. Part of a guarded step. */
inline giveTurns(g) {
  i = 0;
  do
  :: i < 3 ->
     if
     :: RELATED(i, g) -> giveTurn(i, 0)
     :: else
     fi;
     i++
  :: else -> break
  od
}

/* ---- OomContest: marks and notification ---- */

inline mark(a, g) {
  d_step { !guard; marks[g]++; contends[a] = true }
}

inline notify(g) {
  d_step {
    !guard;
    if
    :: listening && WITHIN(ear, g) -> heard = true
    :: else
    fi
  }
}

/* ---- OomKiller, OomKill, KillLock ---- */

inline acquireKillLock(a) {
#ifdef NO_KILL_LOCK
  told[a] = Hint;
#else
  d_step {
    !guard;
    if
    :: !killLock -> killLock = true; told[a] = Hint
    :: else -> told[a] = Quiet; killQueue!a
    fi
  }
  if
  :: told[a] != Hint ->
     d_step {
       !guard;
       if
       :: killed[a] -> signal(a, Killed)
       :: else -> attached[a] = true
       fi
     }
     sleep(a);
     d_step {
       !guard;
       attached[a] = false;
       if
       :: killQueue??[eval(a)] -> killQueue??eval(a)
       :: else
       fi
     }
  :: else
  fi
#endif
}

inline releaseKillLock() {
#ifndef NO_KILL_LOCK
  d_step {
    !guard;
    killLock = false;
    do
    :: !killLock && nempty(killQueue) ->
       killQueue?i;
       if
       :: told[i] == Quiet -> told[i] = Hint; killLock = true
       :: else
       fi
    :: killLock || empty(killQueue) -> break
    od
  }
#else
  skip
#endif
}

/* The choice and the entry among those in flight are one guarded step, the kill follows it. Who scores highest is left
 * open: any eligible member may be the one. */
inline choose(g) {
  v = NOBODY;
  if
  :: atomic { !guard && ELIGIBLE(0, g) -> v = 0; makeVictim(g) }
  :: atomic { !guard && ELIGIBLE(1, g) -> v = 1; makeVictim(g) }
  :: atomic { !guard && ELIGIBLE(2, g) -> v = 2; makeVictim(g) }
  :: atomic { !guard && !ELIGIBLE(0, g) && !ELIGIBLE(1, g) && !ELIGIBLE(2, g) ->
       verdict = (ON_THE_WAY(g) -> Retry : NoVictim) }
  fi
}

inline makeVictim(g) {
  assert(!VICTIM_IN_FLIGHT(g));                         /* I7 */
  victim[v] = true;
  inFlight[v] = true;
  over[v] = false
}

inline sendKill() {
  d_step { !guard; killed[v] = true }
  d_step {
    !guard;
    if
    :: attached[v] -> signal(v, Killed)
    :: else
    fi;
    toReap[v] = REAPED(v);
    v = 0
  }
}

inline killForGroup(a, g) {
  acquireKillLock(a);
  if
  :: told[a] == Cancelled -> verdict = GaveUp
  :: told[a] == Killed -> verdict = Retry
  :: told[a] == Hint ->
     if
     :: FITS(a, g) -> verdict = Retry
     :: else ->
        if
        :: cancelled[a] -> verdict = GaveUp
        :: !cancelled[a] && killed[a] && !isHidden[a] -> verdict = Retry      /* about to free its memory by itself */
        :: else ->
           if
#ifndef NO_VICTIM_IN_FLIGHT_RULE
           :: VICTIM_IN_FLIGHT(g) -> verdict = Retry
#endif
           :: else ->
              verdict = Retry;
              choose(g);
              if
              :: v != NOBODY -> sendKill()
              :: else -> v = 0
              fi
           fi
        fi
     fi;
     releaseKillLock()
  fi;
  told[a] = Quiet
}

/* ---- one member: ChargeAttempt around OomContest, then its exit ---- */

proctype Member(byte me) {
  byte r, lv, v;
  byte wl = NOBODY;
  byte hint = NOBODY;
  byte turnAt = NOBODY;
  bool fell, locked, through;
  mtype verdict = Retry;

  if
  :: ask[me] == 0 && stays[me] ->
     atomic { over[me] = !victim[me] };
end_stays:
     atomic { killed[me] -> over[me] = false };
     goto gone
  :: ask[me] == 0 && !stays[me] -> goto gone
  :: else
  fi;

again:
  if
  :: cancelled[me] -> passTurnOn(); passHintOn(); goto gone
  :: else
  fi;
  tryCharge(me);
  if
  :: r == NOBODY ->
     hint = NOBODY;
#ifndef TURN_LOST_WITH_THE_BYTES
     passTurnOn();
#else
     turnAt = NOBODY;
#endif
     goto granted
  :: else
  fi;
  if
  :: killed[me] && (through || isHidden[me]) -> passTurnOn(); passHintOn(); goto gone
  :: ask[me] > limit[r] || (UP(r) != NOBODY && ask[me] > limit[UP(r) % 3]) || ask[me] > limit[0] ->
     passTurnOn();
     passHintOn();
     goto gone
  :: else
  fi;
  passHintOn();
  through = true;

  /* the contest: ChargeAttempt.RunAsync, OomContest */
#ifdef TRYLOCK_BEFORE_QUEUE
  tryAcquire(me, r);
#endif
  enter(me, r);
  passHintOn();
  if
  :: turnAt != r -> passTurnOn()
  :: else
  fi;
#ifndef MARK_AFTER_TRYLOCK
  mark(me, r);
#endif
#ifndef NO_MARGIN_RECHECK
  if
  :: FITS(me, r) -> verdict = Retry; goto leave
  :: else
  fi;
#endif
  if
  :: cancelled[me] -> goto asleep
  :: else
  fi;
  if
  :: VICTIM_IN_FLIGHT(r) -> goto asleep
  :: else
  fi;
#ifndef TRYLOCK_BEFORE_QUEUE
  tryAcquire(me, r);
#endif
  if
  :: locked -> notify(r)
  :: else
  fi;
#ifdef MARK_AFTER_TRYLOCK
  mark(me, r);
#endif
  assert(!locked || !listening || !WITHIN(ear, r) || heard);  /* told at least once, whenever it registered */
  if
  :: locked && !killDisabled ->
     d_step { !guard; leaveQueue(me, r) }
     killForGroup(me, r);
     goto left
  :: else
  fi;
asleep:
  skip;
  sleep(me);
  if
  :: told[me] == Killed -> verdict = Died
  :: told[me] == Cancelled -> verdict = GaveUp
  :: told[me] == Hint -> verdict = Retry
  fi;
leave:
  through = true;
left:
  assert(!locked || holder[r] == me);                   /* I9: nobody cleared what we hold */
#ifdef WAKE_BEFORE_RELEASE
  if
  :: locked -> d_step { !guard; giveTurns(r); skip }
  :: else
  fi;
#endif
  d_step {
    !guard;
    if
    :: queuedAt[me] != NOBODY -> leaveQueue(me, r)
    :: else
    fi;
    if
#ifdef RELEASE_CLEARS_ANOTHERS_HOLD
    :: true ->
#else
    :: locked ->
#endif
       releaseLock(me, r);
#if !defined(WAKE_BEFORE_RELEASE) && !defined(NO_WAKE_AFTER_RELEASE)
       giveTurns(r);
#endif
       skip
#ifndef RELEASE_CLEARS_ANOTHERS_HOLD
    :: else
#endif
    fi;
    told[me] = Quiet
  }
  locked = false;
  r = 0;
  if
  :: verdict == Retry -> goto again
  :: else -> passTurnOn(); passHintOn(); goto gone
  fi;

granted:
  if
  :: stays[me] ->
     atomic { over[me] = !victim[me] };
end_keeps:
     atomic { killed[me] -> over[me] = false };
     goto gone
  :: else
  fi;

  /* Used for a while; then returned, unless the reaper has taken it meanwhile. */
  skip;
  d_step {
    v = (drawn[me] >= ask[me] -> ask[me] : 0);
    drawn[me] = drawn[me] - v
  }
  uncharge(home[me], v, NOBODY);
  v = 0;

gone:
#ifdef STUCK
  if
  :: killed[me] ->
     over[me] = true;
end_stuck:
     false
  :: else
  fi;
#endif
  skip;
  d_step {
    !guard;
    exited[me] = true;
    v = drawn[me];
    drawn[me] = 0;
    hint = NOBODY;
    verdict = Retry;
    through = false
  }
  uncharge(home[me], v, NOBODY);
  v = 0;
  atomic {
    !guard;
    fell = inFlight[me];
    inFlight[me] = false;
    if
    :: fell -> isHidden[me] = true
    :: else
    fi
  }
  if
  :: fell ->
#ifndef NO_WAKE_AT_EXIT
     wakeAll(home[me]);
#endif
     fell = false
  :: else
  fi;
  over[me] = true
}

/* ---- OomReaper: one reaping for each victim, whatever the others do ---- */

proctype Reaper(byte me) {
  byte lv, v;
  byte wl = NOBODY;
  bool fell;

end_idle:
  toReap[me];
  if
  :: d_step { v = drawn[me]; drawn[me] = 0 }
     uncharge(home[me], v, NOBODY);
     v = 0
  :: skip
  fi;
  d_step { !guard; fell = !isHidden[me]; isHidden[me] = true }
  if
  :: fell ->
#ifndef NO_WAKE_AFTER_REAPING
     wakeAll(home[me]);
#endif
     fell = false
  :: else
  fi;
  toReap[me] = false
}

/* ---- what else may happen, once, at any moment ---- */

proctype Canceller() {
  cancelled[0] = true
}

proctype Listener() {
  d_step {
    !guard;
    listening = true;
    heard = MARKED(ear)
  }
}

/* OomControl.KillDisabled = false */
proctype Enabler() {
  killDisabled = false;
#ifndef NO_WAKE_BY_SWITCH
  wakeAll(0);
#endif
  over[ADMIN] = true
}

#ifdef CUT_TO
/* LimitChange.SetAsync: installs, then kills without being the holder of the OOM lock until the usage fits. */
proctype Cutter() {
  byte lv, v;
  byte wl = NOBODY;
  byte hint = NOBODY;
  byte turnAt = NOBODY;
  mtype verdict = Retry;

  limit[0] = CUT_TO;
  do
  :: FITS(ADMIN, 0) -> break
  :: else ->
     if
     :: VICTIM_IN_FLIGHT(0)
     :: else ->
        killForGroup(ADMIN, 0);
        if
        :: verdict != Retry -> break
        :: else
        fi
     fi;
     enter(ADMIN, 0);
     passHintOn();
     if
     :: !FITS(ADMIN, 0) && VICTIM_IN_FLIGHT(0) -> sleep(ADMIN)
     :: else
     fi;
     d_step { !guard; leaveQueue(ADMIN, 0); told[ADMIN] = Quiet }
  od;
  passHintOn();
  over[ADMIN] = true
}
#endif

/* ---- who starts with what; at the end everything is as it was ---- */

inline member(m, group, bytes, wants, remains) {
  home[m] = group;
  ask[m] = wants;
  drawn[m] = bytes;
  stays[m] = remains;
  i = group;
  do
  :: i != NOBODY -> usage[i] = usage[i] + bytes; i = UP(i)
  :: else -> break
  od
}

inline scene() {
  limit[0] = 3;
  limit[1] = 2;
  limit[2] = 2;
#if (defined(HOARD) && !defined(STUCK)) || defined(TURN)
  home[1] = 2;              /* many steps: from one place only */
#else
  select(i : 0 .. 2);
  home[1] = i;
#endif
#if defined(QUEUE)
  /* Nobody holds anything while it asks: every sleeper is served by those before it. */
#if defined(CANCEL) || defined(CHAIN)
  ask[0] = 2;
#else
  select(i : 1 .. 2);
  ask[0] = i;
#endif
  member(0, 1, 0, ask[0], false);
  member(1, home[1], 0, 2, false);
  member(2, 2, 0, 2, false)
#elif defined(TRADE)
  /* Everybody holds something, two ask for more, one would stay. */
  member(0, 1, 1, 1, false);
  member(1, home[1], 1, 1, false);
  member(2, 2, 1, 0, true)
#elif defined(TURN)
  /* All three are refused by the parent. What the first leaves behind the second keeps, and the third must kill. */
  limit[0] = 2;
  member(0, 1, 1, 1, false);
  member(1, home[1], 0, 1, true);
  member(2, 2, 1, 1, false)
#elif defined(HOARD)
  /* Two stay with what they hold, and one asks for more than the smaller of them would give. */
  limit[2] = 3;
  member(0, 1, 0, 2, false);
  member(1, home[1], 1, 0, true);
  member(2, 2, 2, 0, true)
#else
  /* The last holds what the others want, and gives it to nobody who does not kill it. */
  select(i : 0 .. 2);
  home[2] = i;
  member(0, 1, 0, 1, false);
  member(1, home[1], 0, 2, false);
  member(2, home[2], 2, 0, true)
#endif
}

#define ALL_OVER (over[0] && over[1] && over[2] && over[ADMIN] && !toReap[0] && !toReap[1] && !toReap[2])

init {
  atomic {
    scene();
#ifdef LISTEN
    ear = home[1];
    run Listener();
#endif
#ifdef CANCEL
    run Canceller();
#endif
#if defined(ENABLE)
    killDisabled = true;
    run Enabler();
#elif defined(CUT_TO)
    run Cutter();
#else
    over[ADMIN] = true;
#endif
#if defined(KILL_DISABLED)
    killDisabled = true;
#endif
    run Member(0);
    run Member(1);
    run Member(2);
#ifdef REAP
    run Reaper(2);
#ifdef STUCK
    run Reaper(0);
    run Reaper(1);
#endif
#endif
  }
  atomic {
    ALL_OVER && !guard ->
    i = 0;
    do
    :: i < 3 ->
       assert(marks[i] == 0 && waiters[i] == 0);                        /* I9 */
       assert(holder[i] == NOBODY && heldBelow[i] == 0);
       assert(usage[i] == DRAWN_IN(0, i) + DRAWN_IN(1, i) + DRAWN_IN(2, i)); /* I1 */
       assert(queuedAt[i] == NOBODY && !attached[i]);
       assert(!inFlight[i] || isHidden[i]);                               /* I7 */
       i++
    :: else -> break
    od;
    assert(queuedAt[ADMIN] == NOBODY && !killLock && empty(killQueue))
  }
}

#ifdef LIVENESS
/* I10: with every actor that can go on going on at last, everybody's charge ends. */
ltl everybody_ends { <> ALL_OVER }
#endif
