"""All that `celery.result` has, under its names."""

from eventresults.client.asyncresult import AsyncResult
from eventresults.client.base import ResultBase
from eventresults.client.eager import EagerResult
from eventresults.client.groupresult import GroupResult
from eventresults.client.joins import allow_join_result, assert_will_not_block, denied_join_result, task_join_will_block
from eventresults.client.resultset import ResultSet
from eventresults.client.tuples import result_from_tuple

__all__ = [
    "AsyncResult",
    "EagerResult",
    "GroupResult",
    "ResultBase",
    "ResultSet",
    "allow_join_result",
    "assert_will_not_block",
    "denied_join_result",
    "result_from_tuple",
    "task_join_will_block",
]
