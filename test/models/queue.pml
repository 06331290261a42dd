/*
 * Queue and sender of one destination, as in src/export/: queue.ts,
 * segment-store.ts and sender.ts name their transitions as here.
 *
 * One agent after the other works on the same disk. An agent is one thread:
 * each `::` below is one event of its loop, and it can die between any two
 * writes (DIES). Requests have numbers; what is named `ghost` the real agent
 * does not know. Not here: what waits in memory because the disk is full or
 * another agent's, and parts of split requests: src/export/crash.test.ts,
 * second-agent.test.ts and exporter.test.ts cover them.
 *
 * BREAK_... build known mistakes into it: the test sees that each is found.
 */
/* How much of everything there is: for a search that ends. */
#ifndef REQUESTS
#define REQUESTS 3
#endif
#ifndef FLIPS
#define FLIPS 1
#endif
#ifndef FAULTS
#define FAULTS 1
#endif
#define ROOM 2     /* requests that the queue holds */
#define THRESHOLD 2 /* failures that open the breaker */

mtype = { idle, sending, waiting, stopped, closed, open, half_open };

/* On disk: requests of the sequence numbers position .. tail - 1. */
byte request[REQUESTS];
byte position, tail;
/* As much of it as a loss of power leaves, at least. */
byte syncedPosition, syncedTail;

/* The agent's memory. head: of the oldest request. */
byte head;
mtype sender = idle;
mtype breaker = closed;
byte failures;
bool abandoned; /* the request in flight gave way */
byte flight;    /* its sequence number */
bool closing;

/* The world. */
bool up = FAULTS;
byte flips = FLIPS, deaths = 1, resets = FAULTS, stops = 1, refusals = FAULTS;

/* Ghosts. */
byte coming;                 /* number of the next request */
bool accepted[REQUESTS];   /* accept() returned */
bool arrived[REQUESTS];
bool dropped[REQUESTS];    /* by the stated rules */
bool excused[REQUESTS];    /* not yet fsynced at a loss of power */
byte newest;               /* no smaller number may arrive for the first time */
byte acknowledged;         /* the same for acknowledgements in one agent's life */
byte repeats, reasons;     /* arrivals of what had arrived; what may cause them */
bool lostPower;

#define DIES if :: true :: deaths > 0 -> goto died fi
#define DRAINED (coming == REQUESTS && position == tail && head == tail)

inline arrive(number) {
  if
  :: arrived[number] -> repeats++;
     assert(lostPower || repeats <= reasons)
  :: else ->
     /* A loss of power may bring back what was dropped a moment before. */
     assert(number >= newest || (lostPower && dropped[number]));
     if :: number >= newest -> newest = number + 1 :: else fi
  fi;
  arrived[number] = true
}

/* Sender.#next */
inline nextRequest() {
  if
  :: head < tail ->
     flight = head; abandoned = false; sender = sending;
#ifdef BREAK_ACKNOWLEDGED_EARLY
     position = head + 1;
#endif
     if :: breaker == open -> breaker = half_open :: else fi
  :: else ->
     sender = idle; flight = 0
  fi;
  number = 0
}

/* Queue.settle: the oldest request leaves. */
inline settle() {
  if
#ifndef BREAK_SETTLED_TWICE
  :: abandoned -> abandoned = false
#endif
  :: else ->
     assert(flight == head || abandoned);
     head++;
     position = head
  fi
}

/* Sender.#stop, then Queue.close */
inline stop() {
  sender = stopped; flight = 0; number = 0;
  syncedTail = tail;
  syncedPosition = position
}

active proctype Agent() {
  byte number, p, t;

start:
  atomic {
    head = position; sender = idle; breaker = closed; failures = 0;
    abandoned = false; closing = false; acknowledged = 0;
    number = 0; p = 0; t = 0;
    nextRequest()
  }

  do
  /* Exporter.accept */
  :: coming < REQUESTS && sender != stopped && !closing ->
     atomic { number = coming; coming++ };
     if
     :: tail - head == ROOM ->
        /* The position comes before the file goes: a crash must not bring it back. */
        atomic {
          position = head + 1;
          dropped[request[head]] = true;
          if :: sender == sending && !abandoned -> abandoned = true :: else fi;
          head++
        };
        DIES
     :: else
     fi;
     atomic { request[tail] = number; tail++ };
     DIES;
     atomic {
       accepted[number] = true;
       number = 0;
       if :: sender == idle -> nextRequest() :: else fi
     }

  /* The timer of fsync(2). */
  :: syncedTail < tail || syncedPosition < position ->
     syncedTail = tail;
     DIES;
     syncedPosition = position

  /* Sender.#settle: delivered */
  :: atomic { sender == sending && up -> number = request[flight]; arrive(number) };
     DIES;
     atomic {
       assert(number >= acknowledged); acknowledged = number + 1;
       failures = 0; breaker = closed;
       settle()
     };
     DIES;
     atomic {
       nextRequest();
       if :: closing && sender == idle -> stop() :: else fi
     }

  /* refused */
  :: atomic {
       sender == sending && up && refusals > 0 ->
       refusals--;
       dropped[request[flight]] = true;
       failures = 0; breaker = closed;
       settle()
     };
     DIES;
     atomic {
       nextRequest();
       if :: closing && sender == idle -> stop() :: else fi
     }

  /* retry: nothing arrived, or it did and the answer was lost */
  :: atomic {
       sender == sending && (!up || resets > 0) ->
       if
       :: up -> resets--; reasons++; number = request[flight]; arrive(number)
       :: !up
       fi;
       if :: failures < THRESHOLD -> failures++ :: else fi;
       if :: breaker == half_open || failures == THRESHOLD -> breaker = open :: else fi;
#ifdef BREAK_ORDER
       if :: !abandoned && flight == head && tail - head > 1 ->
          number = request[head];
          request[head] = request[head + 1];
          request[head + 1] = number
       :: else fi;
#endif
       abandoned = false;
       sender = waiting; flight = 0; number = 0;
#ifndef BREAK_RETRIES_WHEN_CLOSING
       if :: closing -> stop() :: else fi
#endif
     }

  /* The timer of backoff or breaker. */
#ifdef BREAK_NEVER_HALF_OPEN
  :: sender == waiting && breaker == closed ->
#else
  :: sender == waiting ->
#endif
     atomic { nextRequest() }

  /* SIGTERM: Sender.close */
  :: stops > 0 && !closing && sender != stopped ->
     atomic {
       stops--; closing = true;
       if
       :: sender == idle -> stop()
       :: sender == waiting -> nextRequest()
       :: sender == sending
       fi
     }

  /* Its deadline. */
  :: atomic { closing && sender == sending -> stop() }

  /* The next agent. */
  :: sender == stopped -> goto start

  /* kill -9, or a loss of power */
  :: deaths > 0 -> goto died

  :: DRAINED && sender == idle && deaths == 0 && stops == 0 -> break
  od;
  goto end;

died:
  atomic {
    deaths--; reasons++;
    if
    :: true
    :: true ->
       lostPower = true;
       p = syncedPosition;
       do :: p < position -> p++ :: break od;
       t = syncedTail;
       do :: t < tail -> t++ :: break od;
       if :: t < p -> t = p :: else fi;
       position = p;
       number = t;
       do
       :: number < tail -> excused[request[number]] = true; number++
       :: else -> break
       od;
       tail = t; syncedTail = t; syncedPosition = p
    fi;
    goto start
  };

end:
  /* Nothing that was accepted is missing without a reason. */
  atomic {
    number = 0;
    do
    :: number < REQUESTS ->
       assert(!accepted[number] || arrived[number] || dropped[number] || excused[number]);
       number++
    :: else -> break
    od
  }
}

active proctype Backend() {
  do
  :: flips > 0 -> atomic { flips--; up = !up }
  :: true -> break
  od
}

/* Fairness: weak, of the two processes; a timer that is set goes off. */
ltl everything_sent { (<>[] up) -> <> DRAINED }
ltl shutdown_ends { [] (closing -> <> (!closing || sender == stopped)) }
