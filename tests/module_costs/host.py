"""A small deterministic proxy-wasm host: as much of ABI 0.2.1 and of WASI as the filter calls.

The clock stands until it is moved, random bytes come from a seed, and a call is answered as soon as
the filter waits for it. An import that is not here raises its name when it is called. An error that
the filter logs is raised, too, and a trap as `Trapped`: as in Envoy, a filter that trapped is not
entered again.
"""

import functools

import random
import struct
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import wasmtime

from foreign import FOREIGN

Headers = list[tuple[str, str]]


@dataclass
class Message:
    """A request or an answer; its pseudo headers are among the headers, as Envoy has them."""

    headers: Headers
    body: bytes = b""

    def values(self, name: str) -> list[str]:
        return [value for held, value in self.headers if held == name]


@dataclass
class Stream:
    """A request with its outcome: sent on, or answered."""

    request: Message
    forwarded: bool = False
    answer: Message | None = None
    filter_state: dict[str, bytes] = field(default_factory=dict)


class Trapped(Exception):
    """The filter trapped, with what it logged as critical. Envoy answers this request and all that
    follow with 503."""


class Host:
    """One worker with the filter. `provider` answers a call to a cluster at a time in seconds."""

    def __init__(self, module: Path, configuration: bytes, environment: dict[str, str],
                 provider: Callable[[str, Message, int], Message], now: int) -> None:
        engine, compiled = compile_module(module)
        self.now = now
        # Imports that this host refuses from now on, by name, each with its status.
        self.refused: dict[str, int] = {}
        self.counters: Counter[str] = Counter()
        # How often the filter asked for anything.
        self.host_calls = 0
        self._configuration = configuration
        self._environment = b"".join(f"{name}={value}\0".encode() for name, value in environment.items())
        self._variables = len(environment)
        self._provider = provider
        self._random = random.Random(SEED)
        # The requests that are not deleted, by context.
        self.streams: dict[int, Stream] = {}
        self._context = ROOT
        self._last_context = ROOT
        self._events: deque[Callable[[], None]] = deque()
        self._calls = 0
        self._call_answer = Message([])
        self._shared: dict[str, tuple[bytes, int]] = {}
        self._queues: list[deque[bytes]] = []
        self._metrics: list[str] = []
        self._panic = ""
        self._store = wasmtime.Store(engine)
        self._store.set_fuel(TANK)
        exported = {wanted.name for wanted in compiled.exports}
        if differing := exported ^ EXPORTS:
            raise RuntimeError(f"{differing} is exported and not in EXPORTS, or the reverse: see .cargo/module-linker.sh")
        linker = wasmtime.Linker(engine)
        for wanted in compiled.imports:
            if not isinstance(wanted.type, wasmtime.FuncType) or wanted.name is None:
                raise TypeError(f"the filter imports {wanted.name}, which is no function")
            linker.define_func(wanted.module, wanted.name, wanted.type, self._import(wanted.name))
        exports = linker.instantiate(self._store, compiled).exports(self._store)
        self._functions = {name: export for name, export in exports.items() if isinstance(export, wasmtime.Func)}
        (self._memory,) = (export for export in exports.values() if isinstance(export, wasmtime.Memory))

    @property
    def fuel(self) -> int:
        """The fuel used so far."""
        return TANK - self._store.get_fuel()

    @property
    def pages(self) -> int:
        """The size of the filter's memory, in pages of 64 KiB."""
        return self._memory.size(self._store)

    def start(self) -> None:
        """Starts the filter and gives it its configuration."""
        self._functions["_initialize"](self._store)
        self._enter("proxy_on_context_create", ROOT, 0)
        if not self._enter("proxy_on_configure", ROOT, len(self._configuration)):
            raise RuntimeError("the filter refuses its configuration")
        self._run_events()

    def send(self, request: Message) -> Stream:
        """Sends a request through the filter, from its creation to its deletion."""
        self._last_context += 1
        context, stream = self._last_context, Stream(request)
        self.streams[context] = stream
        self._enter("proxy_on_context_create", context, ROOT)
        action = self._enter("proxy_on_request_headers", context, len(request.headers), int(not request.body))
        if request.body and stream.answer is None:
            action = self._enter("proxy_on_request_body", context, len(request.body), 1)
        stream.forwarded |= action == CONTINUE
        self._run_events()
        if stream.forwarded == (stream.answer is not None):
            raise RuntimeError(f"neither sent on nor answered, or both: {stream}")
        stream.answer = stream.answer or Message([(":status", "200"), ("content-type", "text/plain")], b"hello")
        self._enter("proxy_on_response_headers", context, len(stream.answer.headers), int(not stream.answer.body))
        self._enter("proxy_on_delete", context)
        del self.streams[context]
        return stream

    def tick(self) -> None:
        """Lets the filter do what it does twice a second."""
        self._enter("proxy_on_tick", ROOT)
        self._run_events()

    def _enter(self, callback: str, context: int, *arguments: int) -> Any:
        if self._panic:
            raise RuntimeError(f"the filter trapped before: {self._panic}")
        self._context = context
        try:
            return self._functions[callback](self._store, context, *arguments)
        except wasmtime.Trap as trap:
            self._panic = self._panic or str(trap)
            raise Trapped(self._panic) from trap

    def _run_events(self) -> None:
        while self._events:
            self._events.popleft()()

    def _import(self, name: str) -> Callable[..., Any]:
        def missing(*_: int) -> None:
            raise NotImplementedError(f"the filter calls {name}, which this host does not have")

        function = getattr(self, name, missing)

        def answer(*arguments: int) -> Any:
            self.host_calls += 1
            return self.refused[name] if name in self.refused else function(*arguments)

        return answer

    def _read(self, start: int, size: int) -> bytes:
        return bytes(self._memory.read(self._store, start, start + size))

    def _text(self, start: int, size: int) -> str:
        return self._read(start, size).decode()

    def _number(self, at: int, value: int) -> int:
        self._memory.write(self._store, struct.pack("<I", value), at)
        return OK

    def _give(self, value: bytes, data_at: int, size_at: int) -> int:
        """Hands bytes out the way Envoy does, in memory that the filter allocates."""
        start = self._functions["proxy_on_memory_allocate"](self._store, len(value)) if value else 0
        if value:
            self._memory.write(self._store, value, start)
        self._number(data_at, start)
        return self._number(size_at, len(value))

    def _map(self, kind: int) -> Headers:
        if kind == CALL_HEADERS:
            return self._call_answer.headers
        stream = self.streams[self._context]
        message = {REQUEST_HEADERS: stream.request, RESPONSE_HEADERS: stream.answer}[kind]
        if message is None:
            raise RuntimeError("the filter reads an answer that is not there")
        return message.headers

    # From here on each method is an import, by its name.

    def proxy_log(self, level: int, data: int, size: int) -> int:
        if level == LOG_CRITICAL:
            self._panic = self._text(data, size)
        elif level == LOG_ERROR:
            raise RuntimeError(f"the filter logs: {self._text(data, size)}")
        return OK

    def proxy_get_current_time_nanoseconds(self, at: int) -> int:
        self._memory.write(self._store, struct.pack("<Q", self.now * 1_000_000_000), at)
        return OK

    def proxy_set_tick_period_milliseconds(self, _period: int) -> int:
        return OK

    def proxy_set_effective_context(self, context: int) -> int:
        if context != ROOT and context not in self.streams:
            return BAD_ARGUMENT
        self._context = context
        return OK

    def proxy_continue_stream(self, _kind: int) -> int:
        self.streams[self._context].forwarded = True
        return OK

    def proxy_send_local_response(self, status: int, _details: int, _details_size: int, body: int, body_size: int,
                                  headers: int, headers_size: int, _grpc: int) -> int:
        pairs = [(":status", str(status)), *parse_pairs(self._read(headers, headers_size))]
        self.streams[self._context].answer = Message(pairs, self._read(body, body_size))
        return OK

    def proxy_get_buffer_bytes(self, kind: int, start: int, size: int, data_at: int, size_at: int) -> int:
        if kind == PLUGIN_CONFIGURATION:
            buffer = self._configuration
        elif kind == CALL_BODY:
            buffer = self._call_answer.body
        else:
            buffer = {REQUEST_BODY: self.streams[self._context].request.body}[kind]
        return self._give(buffer[start:start + size], data_at, size_at)

    def proxy_get_header_map_pairs(self, kind: int, data_at: int, size_at: int) -> int:
        return self._give(pairs_bytes(self._map(kind)), data_at, size_at)

    def proxy_get_header_map_value(self, kind: int, name: int, name_size: int, data_at: int, size_at: int) -> int:
        wanted = self._text(name, name_size)
        values = [value for held, value in self._map(kind) if held == wanted]
        return self._give(",".join(values).encode(), data_at, size_at) if values else NOT_FOUND

    def proxy_add_header_map_value(self, kind: int, name: int, name_size: int, value: int, value_size: int) -> int:
        self._map(kind).append((self._text(name, name_size), self._text(value, value_size)))
        return OK

    def proxy_replace_header_map_value(self, kind: int, name: int, name_size: int, value: int, value_size: int) -> int:
        self.proxy_remove_header_map_value(kind, name, name_size)
        return self.proxy_add_header_map_value(kind, name, name_size, value, value_size)

    def proxy_remove_header_map_value(self, kind: int, name: int, name_size: int) -> int:
        headers, unwanted = self._map(kind), self._text(name, name_size)
        headers[:] = [pair for pair in headers if pair[0] != unwanted]
        return OK

    def proxy_get_property(self, path: int, path_size: int, data_at: int, size_at: int) -> int:
        value = {"source\0address": b"192.0.2.1:4711", "connection\0id": struct.pack("<Q", 1)}[self._text(path, path_size)]
        return self._give(value, data_at, size_at)

    def proxy_set_property(self, path: int, path_size: int, value: int, value_size: int) -> int:
        self.streams[self._context].filter_state[self._text(path, path_size)] = self._read(value, value_size)
        return OK

    def proxy_get_shared_data(self, key: int, key_size: int, data_at: int, size_at: int, version_at: int) -> int:
        value, version = self._shared.get(self._read(key, key_size), (b"", 0))
        if version == 0:
            return NOT_FOUND
        self._number(version_at, version)
        return self._give(value, data_at, size_at)

    def proxy_set_shared_data(self, key: int, key_size: int, value: int, value_size: int, version: int) -> int:
        name = self._read(key, key_size)
        _, held = self._shared.get(name, (b"", 0))
        if version and held and version != held:
            return CAS_MISMATCH
        self._shared[name] = (self._read(value, value_size), held + 1)
        return OK

    def proxy_register_shared_queue(self, _name: int, _name_size: int, id_at: int) -> int:
        self._queues.append(deque())
        return self._number(id_at, len(self._queues))

    def proxy_enqueue_shared_queue(self, queue: int, data: int, size: int) -> int:
        self._queues[queue - 1].append(self._read(data, size))
        self._events.append(lambda: self._enter("proxy_on_queue_ready", ROOT, queue))
        return OK

    def proxy_dequeue_shared_queue(self, queue: int, data_at: int, size_at: int) -> int:
        waiting = self._queues[queue - 1]
        return self._give(waiting.popleft(), data_at, size_at) if waiting else EMPTY

    def proxy_define_metric(self, _kind: int, name: int, name_size: int, id_at: int) -> int:
        self._metrics.append(self._text(name, name_size))
        return self._number(id_at, len(self._metrics))

    def proxy_record_metric(self, _metric: int, _value: int) -> int:
        return OK

    def proxy_increment_metric(self, metric: int, by: int) -> int:
        self.counters[self._metrics[metric - 1]] += by
        return OK

    def proxy_http_call(self, cluster: int, cluster_size: int, headers: int, headers_size: int, body: int,
                        body_size: int, _trailers: int, _trailers_size: int, _timeout: int, token_at: int) -> int:
        request = Message(parse_pairs(self._read(headers, headers_size)), self._read(body, body_size))
        answer = self._provider(self._text(cluster, cluster_size), request, self.now)
        self._calls += 1
        context, token = self._context, self._calls

        def arrives() -> None:
            self._call_answer = answer
            self._enter("proxy_on_http_call_response", context, token, len(answer.headers), len(answer.body), 0)

        self._events.append(arrives)
        return self._number(token_at, token)

    def proxy_call_foreign_function(self, name: int, name_size: int, arguments: int, arguments_size: int,
                                    data_at: int, size_at: int) -> int:
        function = FOREIGN[self._text(name, name_size)]
        return self._give(function(self._read(arguments, arguments_size)), data_at, size_at)

    def random_get(self, at: int, size: int) -> int:
        self._memory.write(self._store, self._random.randbytes(size), at)
        return OK

    def clock_time_get(self, _clock: int, _precision: int, at: int) -> int:
        return self.proxy_get_current_time_nanoseconds(at)

    def environ_sizes_get(self, count_at: int, size_at: int) -> int:
        self._number(count_at, self._variables)
        return self._number(size_at, len(self._environment))

    def environ_get(self, pointers_at: int, at: int) -> int:
        self._memory.write(self._store, self._environment, at)
        for variable in self._environment.split(b"\0")[:-1]:
            self._number(pointers_at, at)
            pointers_at, at = pointers_at + 4, at + len(variable) + 1
        return OK


@functools.cache
def compile_module(module: Path) -> tuple[wasmtime.Engine, wasmtime.Module]:
    """Compiles a module once, to be run with fuel."""
    settings = wasmtime.Config()
    settings.consume_fuel = True
    # Compiles faster; the fuel is counted before anything is optimised.
    settings.cranelift_opt_level = "none"
    engine = wasmtime.Engine(settings)
    return engine, wasmtime.Module.from_file(engine, str(module))


def parse_pairs(data: bytes) -> Headers:
    """Reads headers as the ABI has them: their number, all sizes, then names and values, with a 0
    after each."""
    if not data:
        return []
    (count,) = struct.unpack_from("<I", data)
    sizes = struct.unpack_from(f"<{2 * count}I", data, 4)
    texts, at = [], 4 + 8 * count
    for size in sizes:
        texts.append(data[at:at + size].decode())
        at += size + 1
    return list(zip(texts[::2], texts[1::2]))


def pairs_bytes(headers: Headers) -> bytes:
    """Writes headers as the ABI has them."""
    texts = [text.encode() for pair in headers for text in pair]
    sizes = struct.pack(f"<{1 + len(texts)}I", len(headers), *map(len, texts))
    return sizes + b"".join(text + b"\0" for text in texts)


# All that the filter exports, and nothing else. The SDK exports every callback, and Envoy would
# enter the filter for each; .cargo/module-linker.sh leaves the others out.
EXPORTS = {
    "memory",
    "_initialize",
    "proxy_abi_version_0_2_1",
    "proxy_on_configure",
    "proxy_on_context_create",
    "proxy_on_delete",
    "proxy_on_http_call_response",
    "proxy_on_memory_allocate",
    "proxy_on_queue_ready",
    "proxy_on_request_body",
    "proxy_on_request_headers",
    "proxy_on_request_trailers",
    "proxy_on_response_headers",
    "proxy_on_tick",
}
ROOT = 1
# Of Status, Action, BufferType, MapType and LogLevel, what is needed here.
OK, NOT_FOUND, BAD_ARGUMENT, EMPTY, CAS_MISMATCH = 0, 1, 2, 7, 8
# Statuses of the ABI that the SDK lists for no call, and a status of no ABI.
PARSE_FAILURE, UNKNOWN = 4, 99
CONTINUE = 0
REQUEST_BODY, CALL_BODY, PLUGIN_CONFIGURATION = 0, 4, 7
REQUEST_HEADERS, RESPONSE_HEADERS, CALL_HEADERS = 0, 2, 6
LOG_ERROR, LOG_CRITICAL = 4, 5
SEED = 7
TANK = 1 << 62
