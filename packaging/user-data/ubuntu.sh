#!/usr/bin/env bash
# Installs kinetail on Ubuntu and starts it: user data of an instance, once the settings below are filled in.
#
# The package is used only if it has the SHA-256 that is given here. The instance needs the profile that the stack of
# packaging/cloudformation/log-analytics.yaml gives out as InstanceProfileName; the region it knows by itself.
#
# It may be run again, for a newer package or after a failure; an agent.json that is there is kept. A failure ends it
# with a reason, which cloud-init keeps in /var/log/cloud-init-output.log.
set -Eeuo pipefail

# ---- Settings ----

# The version, the address of the directory that has its package, such as https://HOST/DIRECTORY, and the package's
# SHA-256 for each machine as it stands in SHA256SUMS; it stays empty for a machine that you do not use.
readonly version=0.1.0
readonly source=''
readonly sha256_x86_64=''
readonly sha256_aarch64=''

# The stream, and the files that go there.
readonly stream=ApplicationLogInputStream
readonly pattern='/var/log/apache2/*access.log*'

# ---- Ubuntu ----

file="kinetail_${version}_$(dpkg --print-architecture).deb"
readonly file

export DEBIAN_FRONTEND=noninteractive

# The network of an instance that has just been started may not be up yet.
readonly apt=(apt-get -qq -o Acquire::Retries=5)

# The lists of a fresh image are old, or none.
install_tools() {
    "${apt[@]}" update
    command -v curl >/dev/null || "${apt[@]}" install --yes --no-install-recommends ca-certificates curl
}

install_package() {
    # Nobody is there to be asked about a file that was edited: it is kept, and the new one put beside it.
    "${apt[@]}" install --yes --no-install-recommends -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold "$1"
}

# Apache's logs belong to the group adm here, which is less than the right of root that the unit gives otherwise.
let_read_logs() {
    cat >"$folder/logs.conf" <<'UNIT'
[Service]
SupplementaryGroups=adm
AmbientCapabilities=
CapabilityBoundingSet=
UNIT
    install -D -m 0644 "$folder/logs.conf" "/etc/systemd/system/$unit.d/logs.conf"
}

# ---- From here on the same for every distribution ----

readonly user=aws-kinesis-agent-user
readonly unit=aws-kinesis-agent.service
readonly configuration=/etc/aws-kinesis/agent.json

# apt reads what it is given as a user of its own.
folder=$(mktemp -d)
chmod 0755 "$folder"
readonly folder
trap 'rm -rf "$folder"' EXIT

fail() {
    trap - ERR
    echo "kinetail is not installed: $1" >&2
    exit 1
}
trap 'fail "line $LINENO failed: $BASH_COMMAND"' ERR

fetch() {
    local sha256=$sha256_x86_64
    if [[ $(uname -m) == aarch64 ]]; then
        sha256=$sha256_aarch64
    fi
    if [[ -z $source || ! $sha256 =~ ^[0-9a-f]{64}$ ]]; then
        fail "source, or the SHA-256 of the package for $(uname -m), is not filled in"
    fi
    # The network may not be up yet: half a minute of attempts.
    curl --fail --silent --show-error --location --retry 5 --output "$folder/$file" "$source/$file" ||
        fail "$source/$file cannot be fetched"
    echo "$sha256  $folder/$file" | sha256sum --check --status - || fail "$file has another SHA-256 than $sha256"
}

# A configuration that is there, perhaps edited by hand or in the image, is left as it is.
configure() {
    getent group "$user" >/dev/null || groupadd --system "$user"
    if [[ -e $configuration ]]; then
        echo "$configuration is there already and is kept"
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
    install -D -m 0640 -g "$user" "$folder/agent.json" "$configuration"
}

main() {
    ((EUID == 0)) || fail "run as root"
    install_tools
    fetch
    # Before the package, which ships a configuration of its own.
    configure
    install_package "$folder/$file"
    local installed
    read -r _ installed _ < <(kinetail version)
    [[ $installed == "$version" ]] || fail "version $installed is there, not $version"
    let_read_logs
    kinetail check --strict || fail "the configuration is refused"
    systemctl daemon-reload
    systemctl enable --quiet "$unit"
    # Also when nothing is new: a stop and a start cost neither a line nor a repeat.
    systemctl restart "$unit"
    echo "kinetail $version is installed and started; systemctl status $unit tells how it does"
}

main
