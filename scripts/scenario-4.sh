#!/usr/bin/env bash
# Scenario 4: everything encrypted and everybody known. A worker is killed and one is stopped in the middle; whoever
# has no business here is told so.
source "$(dirname "$0")/cluster.bash"

say "a few commands make a certificate authority and what each program needs"
"$bin/nameserver" ca init "$work/pki"
"$bin/nameserver" ca issue "$work/pki" --role nameserver --name ns -o "$work/ns"
for i in 1 2 3; do "$bin/nameserver" ca issue "$work/pki" --role worker --name "w$i" -o "$work/w$i"; done
"$bin/nameserver" ca issue "$work/pki" --role client --name me -o "$work/me"
"$bin/nameserver" ca list "$work/pki"

start_nameserver --tls "$work/ns"
for i in 1 2 3; do start_worker "w$i" --tls "$work/w$i"; done
export SGDT_TLS=$work/me

say "150 tasks of 50 ms on three workers, over TLS"
for ((i = 1; i <= 150; i++)); do
    printf '{"id":"t%d","task":"sleep","ms":50}\n' "$i"
done >"$work/tasks.jsonl"

in_the_middle() {
    case $1 in
    30)
        say "after 30 results: kill -9 w1"
        signal w1 KILL
        ;;
    60)
        say "after 60 results: kill -STOP w2"
        signal w2 STOP
        ;;
    esac
}
run_job "$work/tasks.jsonl" in_the_middle
expect_each_once "$work/tasks.jsonl"
for i in 1 2 3; do say "w$i did $(share "w$i")"; done
signal w2 CONT

# refused STATUS TEXT COMMAND... : the command ends with that status, and says that.
refused() {
    local wanted=$1 text=$2 status=0
    shift 2
    "$@" >"$work/refused" 2>&1 || status=$?
    sed 's/^/    /' "$work/refused"
    [[ $status == "$wanted" ]] || fail "$* ended with status $status, and not $wanted"
    grep -qF "$text" "$work/refused" || fail "$* did not say: $text"
}

say "a client may run tasks, but remove no worker"
client factorial 20
refused 1 "may not remove a worker" client remove w3
say "without TLS nobody is let in"
SGDT_TLS= refused 3 "the other side uses TLS" client workers
say "nor is a client of another CA"
"$bin/nameserver" ca init "$work/other"
"$bin/nameserver" ca issue "$work/other" --role admin --name mallory -o "$work/mallory"
refused 3 "not issued by the CA" client --tls "$work/mallory" workers
say "a worker goes by the name in its certificate, and by no other"
refused 2 "is not the name in" "$bin/worker" --nameserver "$nameserver" --tls "$work/w1" --name w9

say "a certificate that is lost is revoked, and whoever has the list refuses it from then on, without a restart"
"$bin/nameserver" ca revoke "$work/pki" me
"$bin/nameserver" ca list "$work/pki"
cp "$work/pki/crl.pem" "$work/ns"
for ((i = 0; i < 500; i++)); do client workers >/dev/null 2>&1 || break; done
refused 3 "it has been revoked" client workers
