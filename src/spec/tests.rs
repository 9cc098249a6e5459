use super::*;

#[test]
fn print_schema() {
    println!("\n{}", schema::json_schema());
}
