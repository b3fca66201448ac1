#!/usr/bin/env bash
# Records addons.jsonl anew, as root, from a real run of the lab: record-addons.sh TARGET_DIRECTORY
#
#   cargo xtask build && sudo auditor/src/replay/testdata/record-addons.sh target
#
# The default policy counts what CoreDNS does instead of writing a line. Its line comes from a run where the policy says `line`: the
# scene, which waits for none, fails for it.
set -euo pipefail
target=$(realpath "$1")/release
here=$(dirname "$(realpath "$0")")
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT

"$target/lab" play --auditor "$target/auditor" --output-file "$work/lines.jsonl" \
    --scene imds-by-policy --scene eks-csi-nodes --scene eks-controllers --scene csi-driver-for-others

cat >"$work/auditor" <<EOF
#!/usr/bin/env bash
previous=
for word; do
    [ "\$previous" != --policy ] || sed -i 's/allowed_service_account_opens: count/allowed_service_account_opens: line/' "\$word"
    previous=\$word
done
exec "$target/auditor" "\$@"
EOF
chmod +x "$work/auditor"
"$target/lab" play --auditor "$work/auditor" --output-file "$work/coredns.jsonl" --scene eks-coredns || true

# Not what keeps the lab's own clock, nor what is no event of a pod's.
jq -c 'select(.pod != null and .pod.namespace != "lab" and .pod.service_account != "mounting")' \
    "$work/lines.jsonl" "$work/coredns.jsonl" >"$here/addons.jsonl"
jq -r '"\(.pod.namespace)/\(.pod.service_account) \(.event) \(.verdict)"' "$here/addons.jsonl" | sort | uniq -c
