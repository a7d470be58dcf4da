#!/bin/sh
# The linker for wasm32-wasip1: rust-lld, which rustc has in its PATH, with fewer exports.
#
# The proxy-wasm SDK exports every callback of the ABI, and no compiler option takes an export back.
# Envoy enters a module for each callback that it exports, so those without a use cost time on every
# request (decision 15). Here the callbacks that a module does not list are not exported, and the
# linker drops their code. Everything else, such as a test binary, is linked as it is.
set -eu

every="proxy_abi_version_0_2_1 proxy_on_memory_allocate proxy_on_context_create proxy_on_delete \
proxy_on_configure proxy_on_request_headers"
case " $* " in
*"/portcullis_filter.wasm "*) kept="$every proxy_on_tick proxy_on_queue_ready proxy_on_http_call_response \
proxy_on_request_body proxy_on_request_trailers proxy_on_response_headers" ;;
*"/portcullis_one_header.wasm "*) kept=$every ;;
*) exec rust-lld "$@" ;;
esac

option=
for argument in "$@"; do
    shift
    name=${option:+$argument}
    option=
    case $argument in --export) option=$argument; continue ;; esac
    case " $kept " in *" $name "*) ;; *) case $name in proxy_*) continue ;; esac ;; esac
    set -- "$@" ${name:+--export} "$argument"
done
exec rust-lld "$@"
