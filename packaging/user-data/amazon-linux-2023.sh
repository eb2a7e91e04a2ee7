#!/usr/bin/env bash
# Installs kinetail on Amazon Linux 2023 and starts it: user data of an instance, once the settings below are filled in.
#
# It does not use the packages yet. What is fetched is an archive with three files, the program, its launcher and its unit:
#
#   tar -czf kinetail-x86_64.tar.gz -C target/release kinetail -C "$PWD/packaging" start-aws-kinesis-agent \
#       -C "$PWD/packaging/systemd" aws-kinesis-agent.service
#
# It is used only if it has the SHA-256 that is given here. The instance needs the profile that the stack of
# packaging/cloudformation/log-analytics.yaml gives out as InstanceProfileName; the region it knows by itself.
#
# It may be run again, for a newer archive or after a failure; an agent.json that is there is kept. A failure ends it
# with a reason, which cloud-init keeps in /var/log/cloud-init-output.log.
set -euo pipefail

# ---- Settings ----

# Where the archive for each machine is, and its SHA-256 as of sha256sum. Both stay empty for what you do not use.
readonly archive_x86_64=''
readonly sha256_x86_64=''
readonly archive_aarch64=''
readonly sha256_aarch64=''

# The stream, and the files that go there.
readonly stream=ApplicationLogInputStream
readonly pattern='/var/log/httpd/*access_log*'

# ---- Amazon Linux 2023 ----

install_tools() {
    local tool
    for tool in curl gzip tar; do
        command -v "$tool" >/dev/null || dnf --quiet --assumeyes install "/usr/bin/$tool"
    done
}

# The unit has the one right of root that reading Apache's logs takes. No group may read them here: /var/log/httpd is
# 0700 root:root, and each update of httpd puts that back, which also takes the effect from an ACL.
let_read_logs() {
    :
}

# ---- From here on the same for every distribution ----

readonly user=aws-kinesis-agent-user
readonly unit=aws-kinesis-agent.service

# What is fetched and made before it is put in its place.
folder=$(mktemp -d)
readonly folder
trap 'rm -rf "$folder"' EXIT

fail() {
    echo "kinetail is not installed: $1" >&2
    exit 1
}

fetch() {
    local url sha256
    case "$(uname -m)" in
    x86_64) url=$archive_x86_64 sha256=$sha256_x86_64 ;;
    aarch64) url=$archive_aarch64 sha256=$sha256_aarch64 ;;
    *) fail "there is no archive for $(uname -m)" ;;
    esac
    if [[ -z $url || ! $sha256 =~ ^[0-9a-f]{64}$ ]]; then
        fail "the address or the SHA-256 of the archive for $(uname -m) is not filled in"
    fi
    # The network may not be up yet: half a minute of attempts.
    curl --fail --silent --show-error --location --retry 5 --retry-all-errors --output "$folder/archive" "$url" ||
        fail "$url cannot be fetched"
    echo "$sha256  $folder/archive" | sha256sum --check --status - || fail "$url has another SHA-256 than $sha256"
    tar -xzf "$folder/archive" -C "$folder" --no-same-owner kinetail start-aws-kinesis-agent "$unit" ||
        fail "$url does not hold kinetail, start-aws-kinesis-agent and $unit"
}

# The configuration that is there, perhaps edited by hand or in the image, is left as it is.
configure() {
    local target=/etc/aws-kinesis/agent.json
    if [[ -e $target ]]; then
        echo "$target is there already and is kept"
        return
    fi
    cat >"$folder/agent.json" <<JSON
{
  "flows": [
    {
      "filePattern": "$pattern",
      "kinesisStream": "$stream",
      "dataProcessingOptions": [{ "optionName": "LOGTOJSON", "logFormat": "COMBINEDAPACHELOG" }]
    }
  ]
}
JSON
    install -D -m 0640 -g "$user" "$folder/agent.json" "$target"
}

main() {
    ((EUID == 0)) || fail "run as root"
    install_tools
    fetch
    if ! getent passwd "$user" >/dev/null; then
        useradd --system --user-group --no-create-home --shell /usr/sbin/nologin "$user"
    fi
    install -m 0755 "$folder/kinetail" /usr/bin/kinetail
    install -m 0755 "$folder/start-aws-kinesis-agent" /usr/bin/start-aws-kinesis-agent
    install -m 0644 "$folder/$unit" "/etc/systemd/system/$unit"
    configure
    let_read_logs
    kinetail check --strict || fail "the configuration is refused"

    systemctl daemon-reload
    systemctl enable --quiet "$unit"
    # Also when nothing is new: a stop and a start cost neither a line nor a repeat.
    systemctl restart "$unit"
    echo "$(kinetail version) is installed and started; systemctl status $unit tells how it does"
}

main
