"""Code moves from `celery.result` by changing an import: names, parameters, defaults and properties are Celery's."""

from __future__ import annotations

import inspect

import pytest

celery_result = pytest.importorskip("celery.result")

from eventresults.client import result as our_result  # noqa: E402

CLASSES = ("ResultBase", "AsyncResult", "EagerResult", "ResultSet", "GroupResult")
FUNCTIONS = ("result_from_tuple", "allow_join_result", "denied_join_result", "assert_will_not_block", "task_join_will_block")
#: `__nonzero__` is Python 2's.
SPECIAL = (
    "__init__",
    "__iter__",
    "__getitem__",
    "__len__",
    "__eq__",
    "__hash__",
    "__str__",
    "__repr__",
    "__bool__",
    "__copy__",
    "__reduce__",
    "__reduce_args__",
    "__class_getitem__",
)


def public_names(cls):
    special = [name for name in SPECIAL if getattr(cls, name, None) is not getattr(object, name, None) and name in dir(cls)]
    return [name for name in dir(cls) if not name.startswith("_")] + special


def kind_of(cls, name):
    found = inspect.getattr_static(cls, name)
    if isinstance(found, classmethod):
        return "class method"
    if inspect.isfunction(found):
        return "method"
    return "attribute"  # a property, or a plain or late attribute: it reads the same


PAIRS = [(cls, name) for cls in CLASSES for name in public_names(getattr(celery_result, cls))]
METHODS = [(cls, name) for cls, name in PAIRS if kind_of(getattr(celery_result, cls), name) != "attribute"]


@pytest.mark.parametrize(("cls", "name"), PAIRS)
def test_every_public_name_is_there_and_of_the_same_kind(cls, name):
    ours = getattr(our_result, cls)

    assert hasattr(ours, name), f"{cls}.{name} is missing"
    if name != "__class_getitem__":
        assert kind_of(ours, name) == kind_of(getattr(celery_result, cls), name)


@pytest.mark.parametrize(
    ("cls", "name"), [pair for pair in METHODS if pair[1] not in {"__class_getitem__", "__repr__", "__str__", "__hash__"}]
)
def test_parameters_and_defaults_are_celerys(cls, name):
    theirs = inspect.signature(getattr(getattr(celery_result, cls), name))
    ours = inspect.signature(getattr(getattr(our_result, cls), name))

    assert positional(ours) == positional(theirs)
    added = ours.parameters.keys() - theirs.parameters.keys()
    assert all(ours.parameters[one].kind is inspect.Parameter.KEYWORD_ONLY for one in added)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_have_celerys_parameters(name):
    theirs, ours = getattr(celery_result, name), getattr(our_result, name)

    assert positional(inspect.signature(ours)) == positional(inspect.signature(theirs))


def positional(signature):
    return [(one.name, one.kind, one.default) for one in signature.parameters.values() if one.kind is not inspect.Parameter.KEYWORD_ONLY]


@pytest.mark.parametrize("cls", CLASSES)
def test_the_hierarchy_is_celerys(cls):
    theirs = [base.__name__ for base in getattr(celery_result, cls).__mro__]
    ours = [base.__name__ for base in getattr(our_result, cls).__mro__]

    assert [name for name in ours if name in theirs] == theirs


def test_properties_that_can_be_assigned_to_can_be_here():
    for cls in CLASSES:
        for name in public_names(getattr(celery_result, cls)):
            theirs = inspect.getattr_static(getattr(celery_result, cls), name)
            ours = inspect.getattr_static(getattr(our_result, cls), name)
            if isinstance(theirs, property) and theirs.fset is not None:
                assert isinstance(ours, property), f"{cls}.{name}"
                assert ours.fset is not None, f"{cls}.{name}"


def test_deprecated_aliases_are_the_methods_themselves():
    assert our_result.AsyncResult.wait is our_result.AsyncResult.get
    assert our_result.AsyncResult.maybe_reraise is our_result.AsyncResult.maybe_throw
    assert our_result.ResultSet.maybe_reraise is our_result.ResultSet.maybe_throw
    assert our_result.EagerResult.wait is our_result.EagerResult.get


def test_all_names_of_celerys_module_are_in_ours():
    assert set(celery_result.__all__) <= set(our_result.__all__)


def test_every_result_is_a_thenable():
    vine = pytest.importorskip("vine")

    for cls in ("AsyncResult", "EagerResult", "ResultSet", "GroupResult"):
        assert issubclass(getattr(our_result, cls), vine.Thenable)


def test_a_result_class_can_be_subscripted_in_annotations():
    assert str(our_result.AsyncResult[int]) == "eventresults.client.asyncresult.AsyncResult[int]"
