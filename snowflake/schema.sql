-- create
CREATE SCHEMA IF NOT EXISTS {{ name }} WITH MANAGED ACCESS DATA_RETENTION_TIME_IN_DAYS = 1 COMMENT = {{ comment }}

-- alter
ALTER SCHEMA {{ name }} ENABLE MANAGED ACCESS

ALTER SCHEMA {{ name }} SET DATA_RETENTION_TIME_IN_DAYS = 1 COMMENT = {{ comment }}

-- grants
{% for role in users %}
GRANT USAGE ON DATABASE {{ database }} TO ROLE {{ role }}

GRANT USAGE ON SCHEMA {{ name }} TO ROLE {{ role }}

{% endfor %}
{% for grant in future %}
GRANT {{ grant.privileges }} ON FUTURE {{ grant.objects }} IN SCHEMA {{ name }} TO ROLE {{ grant.role }}

{% endfor %}
{% for grant in creators %}
GRANT {{ grant.privileges }} ON SCHEMA {{ name }} TO ROLE {{ grant.role }}

{% endfor %}
-- drop
DROP SCHEMA IF EXISTS {{ name }}
