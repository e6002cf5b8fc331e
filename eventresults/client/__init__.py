"""What a caller holds: results, the promises on them, and the backend they ask.

Import the result classes and functions from `eventresults.client.result`: it has all names of `celery.result`.

What others use of `Backend` (a tracker's `backend`; thread-safe), made as
`Backend(recorder, reader, *, result_expires, read_timeout, callbacks, url, unfinished_expires)`:

- `recorder`, `reader`: the parts it was made of, which it does not close. `callbacks`: the thread that runs what users hand in
  (`callbacks.put(job)`, never blocks). `close()`: pending `get()`s raise `Closed`, open promises break with it, callbacks are seen
  off within 5 s; call it before the reader is closed.
- As Celery's: `get_task_meta(id)`, `get_state`, `get_result`, `get_traceback`, `get_children`, `task_result_exists`, `forget(*ids)`
  (returns when acknowledged), `save_group(id, result)`, `restore_group(id, app=…)`, `delete_group(id)`, `get_many(ids, …)` (yields
  (id, meta) as they come), `iter_native(set, …)`, `wait_for_pending(result, …)`, `add_pending_result(result, weak=False)`,
  `remove_pending_result(result)`, `as_uri()`; `READY_STATES`, `UNREADY_STATES`, `EXCEPTION_STATES`, `PROPAGATE_STATES`, `is_async`,
  `supports_native_join`.
- `request_revoke(id, terminate=False, signal=None, reason=None)`: a future of the request's position. `acknowledged(futures,
  timeout=30)`: their positions, or what an append raised.
- `result_from_tuple(form, app)`; `eventresults.client.tuples.plain(result.as_tuple())` is the form for `children` of a finishing fact.

`eventresults.client.app`: `current_app()`, `set_current(app)`, `unset_current(app)`, `backend_of(app)` (a tracker's, or that of a Celery
app whose `backend.tracker` is ours). `eventresults.client.joins.share_flag(flag)` puts another holder in place of the context-local one.
`result.learn(meta)` tells a result a ready `TaskMeta` that its maker has at hand.
"""
