# SPDX-License-Identifier: Apache-2.0
"""Stand-in: rules of security groups as resources of their own, which ministack's CloudFormation does not know.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-ec2-securitygroupingress.html
"""
from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from .aws_hooks import Finder


def _permissions(group: str, key: str) -> list[dict[str, Any]]:
    from ministack.services import ec2

    found = ec2._security_groups.get(group)
    if found is None:
        raise ValueError(f"The security group '{group}' does not exist (InvalidGroup.NotFound)")
    permissions: list[dict[str, Any]] = found[key]
    return permissions


def handlers(key: str) -> dict[str, Callable[..., Any]]:
    """Create, update and delete of one direction of rules."""
    from ministack.services.cloudformation import provisioners

    def create(logical_id: str, props: dict[str, Any], stack: str) -> tuple[str, dict[str, Any]]:
        made = provisioners._ec2_sg_permissions([props])
        permissions = _permissions(str(props.get("GroupId", "")), key)
        if made[0] in permissions:
            raise ValueError("the specified rule already exists (InvalidPermission.Duplicate)")
        permissions += made
        identity = f"sgr-{uuid.uuid4().hex[:17]}"
        return identity, {"Id": identity}

    def delete(physical_id: str, props: dict[str, Any]) -> None:
        from ministack.services import ec2

        group = ec2._security_groups.get(props.get("GroupId"))
        if group is not None:
            gone = provisioners._ec2_sg_permissions([props])
            group[key] = [p for p in group[key] if p not in gone]

    def update(physical_id: str, old_props: dict[str, Any], new_props: dict[str, Any], stack: str, logical_id: str | None = None) -> tuple[str, dict[str, Any]]:
        delete(physical_id, old_props)
        return create(logical_id or physical_id, new_props, stack)

    return {"create": create, "update": update, "delete": delete}


def install(finder: Finder) -> None:
    def hook(provisioners: Any) -> None:
        for name, key in (("Ingress", "IpPermissions"), ("Egress", "IpPermissionsEgress")):
            provisioners._RESOURCE_HANDLERS.setdefault(f"AWS::EC2::SecurityGroup{name}", handlers(key))

    finder.when("cloudformation.provisioners", hook)
