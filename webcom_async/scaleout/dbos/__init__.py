"""
Send campaigns with many workers on DBOS Transact; needs the extra `dbos`.

    async with DbosEngine(store, client, system_database_url="postgresql://…") as engine:
        await engine.start("spring")    # on any host, after planning; needs no client
        await engine.run()              # on every sending host, until cancelled

A campaign is a workflow with the campaign's name as id. It dispatches shards as workflows `name/shard/generation` on a
queue that all workers share. It dispatches a shard again, under the next generation, if the lease has expired, or if
the workflow ended or vanished before the shard was done. A batch is a step that records numbers only: phones and texts
stay in the store.

DBOS only starts work, and starts it again. The store's leases and journal decide which recipients may be sent to, so a
surplus execution, such as one on a worker that was suspended and woke up, sends no second SMS.

Facts about DBOS 3.4 that shape this code:

* Async workflows run on the event loop that was running when `launch` was called; the client and the store share that
  loop. DBOS's database is called in threads, so that an unreachable PostgreSQL does not block the loop. The threads
  recover by themselves.
* The workflows of a process that died stay `PENDING` until a process with the same executor id starts. So a
  shard has generations, and each worker watches for campaigns whose scheduler is silent: `resume_workflow` puts a
  `PENDING` workflow back on its queue, and an older execution that still runs can write nothing more.
* A step's record is found by the step's number. Batches are sent concurrently and end in any order, so their numbers
  are reserved beforehand (`reserve_step`).
* An error that a step raises is recorded and raised again at every execution, so steps return a value instead. The
  error of a cancelled task is not recorded: a worker that stops cancels its workflows and puts them back on their
  queues.
* A process has one DBOS, and so one worker.
* DBOS's console handler is not installed if its logger has a handler; its records propagate to the application's.
"""

try:
    from webcom_async.scaleout.dbos._engine import DbosEngine
except ModuleNotFoundError as _exc:
    if _exc.name != "dbos":
        raise
    raise ImportError("webcom_async.scaleout.dbos needs DBOS: python -m pip install 'webcom-async[dbos]'") from None

__all__ = ["DbosEngine"]
