"""
A campaign of many workers on DBOS Transact, the extra `dbos`: the only door to it.

    async with DbosEngine(store, client, system_database_url="postgresql://…") as engine:
        await engine.start("spring")    # on any host, once the campaign is planned; a client is not needed for this
        await engine.run()              # on every host that sends: until it is cancelled

A campaign is a workflow whose id is the campaign's name. It hands out shards as workflows `name/shard/generation` on a
queue that all workers listen to, and oversees them: a shard whose lease has expired, or whose workflow ended or
vanished without the shard being done, is handed out again, under the next generation. A step is a batch, and carries
its numbers only: phones and texts stay in the store.

The engine is trusted with nothing but to start things again. Whether somebody may be sent to is for the store's leases
and journal to say, so that an execution too many, such as that of a worker which slept and woke up, sends nobody a
second SMS.

What is known of DBOS 3.4, and why the code is as it is:

* Async workflows run on the event loop that was running when `launch` was called, so the client, the store and they
  share one. The database is asked in threads: the loop is not held up, not even while PostgreSQL is away, and the
  threads go on by themselves when it is back.
* What ran in a process that died stays `PENDING` for ever, unless a process with the same executor id comes back. Hence
  the generations of a shard, and in every worker a watch for campaigns whose scheduler is silent: `resume_workflow`
  puts a `PENDING` workflow back on its queue, and an older execution of it that still lives can write nothing more.
* A step's record is found again by the step's number. Batches leave several at once and end in any order, so their
  numbers are reserved before (`reserve_step`).
* What a step raises is written down and raised again for ever, so steps return words instead. What a cancelled task
  raises is not written down: a worker that stops cancels its workflows, and puts them back on their queues.
* There is one DBOS in a process, hence one worker.
* Its console handler is left out where its logger has a handler; what it logs goes on to the application's.
"""

try:
    from webcom_async.scaleout.dbos._engine import DbosEngine
except ModuleNotFoundError as _exc:
    if _exc.name != "dbos":
        raise
    raise ImportError("webcom_async.scaleout.dbos needs DBOS: python -m pip install 'webcom-async[dbos]'") from None

__all__ = ["DbosEngine"]
