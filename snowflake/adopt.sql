-- database
GRANT USAGE ON DATABASE {{ name }} TO ROLE {{ owner }} WITH GRANT OPTION

GRANT CREATE SCHEMA ON DATABASE {{ name }} TO ROLE {{ owner }}

-- schema
GRANT USAGE ON DATABASE {{ parent }} TO ROLE {{ loader }}

GRANT USAGE ON DATABASE {{ parent }} TO ROLE {{ reader }}

GRANT USAGE ON SCHEMA {{ name }} TO ROLE {{ loader }}

GRANT USAGE ON SCHEMA {{ name }} TO ROLE {{ reader }}

-- stage
GRANT USAGE ON SCHEMA {{ parent }} TO ROLE {{ loader }}

GRANT USAGE ON STAGE {{ name }} TO ROLE {{ loader }}

-- table
GRANT SELECT, INSERT, UPDATE ON TABLE {{ name }} TO ROLE {{ loader }}

GRANT SELECT ON TABLE {{ name }} TO ROLE {{ reader }}
