#!/bin/bash
# Makes this server the reader of a pipeline's binary log. Runs once, as root, when the server starts for the first time.
set -uo pipefail
umask 022
@SETTINGS@
instance=$(ec2-metadata --instance-id | awk '{print $2}')
export AWS_DEFAULT_REGION=$region

# What goes over the network is tried for five minutes: a new server's network and role take a while.
patiently() {
    for _ in {1..30}; do
        "$@" && return 0
        sleep 10
    done
    return 1
}

# Tells CloudFormation, where it waits for that.
signal() {
    aws cloudformation signal-resource --stack-name "$stack" --logical-resource-id ReaderGroup \
        --unique-id "$instance" --status "$1" || true
}

set_up() {
    set -e
    mkdir -p /opt/pipectl /etc/pipectl /var/log/pipectl
    patiently aws s3 cp --only-show-errors "s3://$bucket/$key" /opt/pipectl/runtime.zip
    python3 -m zipfile -e /opt/pipectl/runtime.zip /opt/pipectl/
    # The key names the content: the first 16 digits of the program's SHA-256.
    digest=$(sha256sum /opt/pipectl/bootstrap)
    if [[ "$key" != "runtime/${digest:0:16}-"* ]]; then
        echo "the program in s3://$bucket/$key is not the one that its key names" >&2
        return 1
    fi
    install -m 0755 /opt/pipectl/bootstrap /opt/pipectl/pipectl-runtime
    rm /opt/pipectl/bootstrap /opt/pipectl/runtime.zip
    patiently dnf install --assumeyes --quiet amazon-cloudwatch-agent
    cat > /opt/aws/amazon-cloudwatch-agent/etc/pipectl.json <<AGENT
{"logs": {"logs_collected": {"files": {"collect_list": [{
    "file_path": "/var/log/pipectl/reader.log",
    "log_group_name": "$log_group",
    "log_stream_name": "$instance"
}]}}}}
AGENT
    /opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl \
        -a fetch-config -m ec2 -s -c file:/opt/aws/amazon-cloudwatch-agent/etc/pipectl.json
    systemctl daemon-reload
    systemctl enable --now pipectl-reader.service
}

mkdir -p /etc/pipectl
cat > /etc/pipectl/reader.env <<'PIPECTL'
@ENVIRONMENT@
PIPECTL
cat > /etc/logrotate.d/pipectl <<'PIPECTL'
/var/log/pipectl/reader.log {
    size 20M
    rotate 2
    copytruncate
    missingok
}
PIPECTL
cat > /etc/systemd/system/pipectl-reader.service <<'PIPECTL'
[Unit]
Description=Reads the binary log of a pipeline's database
Wants=network-online.target
After=network-online.target
# A program that ends ten times in a quarter of an hour does so for good.
StartLimitIntervalSec=900
StartLimitBurst=10
OnFailure=pipectl-unhealthy.service

[Service]
Type=exec
EnvironmentFile=/etc/pipectl/reader.env
ExecStart=/opt/pipectl/pipectl-runtime binlog
Restart=always
RestartSec=5
TimeoutStopSec=30
StandardOutput=append:/var/log/pipectl/reader.log
StandardError=append:/var/log/pipectl/reader.log
DynamicUser=yes
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateDevices=yes
CapabilityBoundingSet=

[Install]
WantedBy=multi-user.target
PIPECTL
cat > /etc/systemd/system/pipectl-unhealthy.service <<PIPECTL
[Unit]
Description=Has this server replaced

[Service]
Type=oneshot
ExecStart=/usr/bin/aws autoscaling set-instance-health --region $region --instance-id $instance --health-status Unhealthy
PIPECTL

(set_up)
if [[ $? -eq 0 ]]; then
    signal SUCCESS
else
    signal FAILURE
    systemctl start pipectl-unhealthy.service
fi
